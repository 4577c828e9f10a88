/** What most programs need; everything else is in `langevin/core`, `langevin/diffusion`, `langevin/pipelines` and so on. */
export { grad, input, jvp, type Tensor, vjp } from './core/index.ts'
export { decodeImage, encodePng, imageGrid, savePng } from './images/index.ts'
export { Params } from './nn/params.ts'
export { finish, loadDdpm, loadPipeline, loadStableDiffusion, loadUpscaler, modelFolder } from './pipelines/index.ts'
export { compile, evaluate, Generator, NdArray, State } from './runtime/index.ts'
export { type TrainingTask, train } from './training/index.ts'
