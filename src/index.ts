import type { loadCascade as LoadCascade } from './pipelines/cascade.ts'
import type { loadDdpm as LoadDdpm } from './pipelines/ddpm/model.ts'
import type { loadPipeline as LoadPipeline } from './pipelines/load.ts'
import type { loadStableDiffusion as LoadStableDiffusion } from './pipelines/stable-diffusion/index.ts'
import type { train as Train } from './training/index.ts'

/**
 * What most programs need; everything else is in `langevin/core`, `langevin/diffusion`, `langevin/pipelines` and so on.
 *
 * A program that imports this pays for what it uses: pipelines and training are loaded at the first call.
 */
export { grad, input, jvp, type Tensor, vjp } from './core/index.ts'
export { finish } from './diffusion/denoiser.ts'
export { decodeImage } from './images/decode.ts'
export { encodePng, savePng } from './images/encode.ts'
export { imageGrid } from './images/pixels.ts'
export { Params } from './nn/params.ts'
export { modelFolder } from './pipelines/open/zoo.ts'
export { loadUpscaler } from './pipelines/upscale/upscaler.ts'
export { compile, evaluate, Generator, NdArray, State } from './runtime/index.ts'
export type { TrainingTask } from './training/index.ts'

/** As `loadDdpm` of `langevin/pipelines`. */
export const loadDdpm: typeof LoadDdpm = async (...given) => (await import('./pipelines/ddpm/model.ts')).loadDdpm(...given)

/** As `loadCascade` of `langevin/pipelines`. */
export const loadCascade: typeof LoadCascade = async (...given) => (await import('./pipelines/cascade.ts')).loadCascade(...given)

/** As `loadPipeline` of `langevin/pipelines`. */
export const loadPipeline: typeof LoadPipeline = async (...given) => (await import('./pipelines/load.ts')).loadPipeline(...given)

/** As `loadStableDiffusion` of `langevin/pipelines`. */
export const loadStableDiffusion: typeof LoadStableDiffusion = async (...given) =>
  (await import('./pipelines/stable-diffusion/index.ts')).loadStableDiffusion(...given)

/** As `train` of `langevin/training`. */
export const train: typeof Train = async function* (...given) {
  return yield* (await import('./training/index.ts')).train(...given)
}
