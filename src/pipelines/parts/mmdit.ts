import type { Tensor } from '../../core/tensor.ts'
import type { Trace } from './denoiser.ts'

/** Stable Diffusion 3's transformer. Channels behind its own are for what acts on it, as ControlNets. */
export const traceMmdit =
  (channels: number): Trace<'SD3Transformer2DModel'> =>
  (network, { sample, timestep, context, pooled }, conditioned) =>
    network((sample as Tensor).slice(1, 0, channels), timestep as Tensor, {
      context: context as Tensor,
      pooled: pooled as Tensor,
      ...conditioned,
    })
