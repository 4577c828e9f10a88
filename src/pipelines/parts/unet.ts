import { NdArray } from '../../runtime/ndarray.ts'
import type { Trace } from './denoiser.ts'

/** The U-Net of latent diffusion, told what the batch's entries name beside the context. */
export const traceUnet: Trace<'UNet2DConditionModel'> = (network, { sample, timestep, context, ...extras }, conditioned) =>
  network(sample as never, timestep as never, context as never, { ...extras, ...conditioned })

/** The guidance scale w + 1 as a distilled network takes it: f32 [1, width] (Meng et al. 2023; Luo et al. 2023). */
export function guidanceEmbedding(w: number, width: number): NdArray<'f32'> {
  const half = Math.floor(width / 2)
  const angles = Array.from({ length: half }, (_, i) => w * 1000 * Math.exp((-i * Math.log(10000)) / (half - 1)))
  const values = [...angles.map(Math.sin), ...angles.map(Math.cos), ...(width % 2 === 1 ? [0] : [])]
  return NdArray.from(values, [1, width])
}
