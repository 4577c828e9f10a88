/*
 * langevin itself, for a worker: what a browser runs of it. `serve` answers the page; the rest is the library, for workers that do
 * their own work.
 */
export { openWeightFile, openWeights, readTensor, saveModel, writeSafetensors } from '../../checkpoints/index.ts'
export * from '../../core/index.ts'
export * as diffusion from '../../diffusion/index.ts'
export * as models from '../../models/index.ts'
export * as nn from '../../nn/index.ts'
export { loadPipeline, type Pipeline } from '../../pipelines/load.ts'
export { DeviceError, listDevices } from '../../runtime/devices.ts'
export { NdArray } from '../../runtime/ndarray.ts'
export { type CompileOptions, type Computation, compile, evaluate, type Program } from '../../runtime/program.ts'
export { Generator } from '../../runtime/random.ts'
export { filesIn, mount, unmount } from '../../runtime/web/files.ts'
export { adamw, muon } from '../../training/optimizer.ts'
export { type Objective, type StepOptions, type StepResult, TrainingStep } from '../../training/step.ts'
export { FetchError, StorageFullError, Store } from '../store.ts'
export { type ServeOptions, serve, type Task } from './serve.ts'
