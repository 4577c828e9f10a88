import { NdArray } from '../../runtime/ndarray.ts'

/** Each pixel four times: [N, C, H, W] → [N, C, 2H, 2W]. */
export function nearestDoubled(images: NdArray<'f32'>): NdArray<'f32'> {
  const [N, C, H, W] = images.shape as [number, number, number, number]
  const out = new Float32Array(N * C * H * W * 4)
  for (let row = 0; row < N * C * H * 2; row++)
    for (let x = 0; x < W * 2; x++) out[row * W * 2 + x] = images.data[(row >> 1) * W + (x >> 1)] as number
  return new NdArray(out, [N, C, 2 * H, 2 * W], 'f32')
}
