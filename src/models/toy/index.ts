export { type MlpSizes, sigmoidMlp } from './mlp.ts'
export { type RbfSizes, rbfNetwork } from './rbf.ts'
export { type TimeReadout, type TimeReadoutSizes, timeReadout } from './readout.ts'
