export {
  checkpointSteps,
  checkpointWeights,
  latestCheckpoint,
  readCheckpoint,
  saveCheckpoint,
  type TrainingCheckpoint,
} from './checkpoint.ts'
export { TrainingError } from './errors.ts'
export * from './logs/index.ts'
export {
  type AdamWOptions,
  adamw,
  clipFactor,
  globalNorm,
  isMatrix,
  type MuonOptions,
  muon,
  type Optimizer,
  type OptimizerName,
  optimizerNames,
  type Rule,
} from './optimizer.ts'
export { emaDecay, learningRate, type RateOptions, type RateSchedule, rateSchedules } from './rate.ts'
export { type Objective, type StepOptions, type StepResult, TrainingStep } from './step.ts'
export { bestOf, type SweepOptions, type SweepProgress, sweep, type Trial } from './sweep.ts'
export { type LaterStage, type StepReport, type TrainingOptions, type TrainingTask, train } from './train.ts'
