import { imagesOf, toPixels } from '../images/pixels.ts'
import type { NdArray } from '../runtime/ndarray.ts'

/** A batch of pictures [num, C, H, W] in [−1, 1] as a canvas takes them, in the levels that the command line writes. C: 1, 3 or 4. */
export const imageDataOf = (pictures: NdArray<'f32'>): ImageData[] =>
  imagesOf(pictures).map((image) => {
    const { data, shape } = toPixels(image)
    const [height, width, channels] = shape as [number, number, number]
    const out = new ImageData(width, height)
    for (let i = 0; i < width * height; i++) {
      const at = i * channels
      const grey = channels < 3
      for (let c = 0; c < 3; c++) out.data[4 * i + c] = data[grey ? at : at + c] as number
      out.data[4 * i + 3] = channels % 2 === 0 ? (data[at + channels - 1] as number) : 255
    }
    return out
  })
