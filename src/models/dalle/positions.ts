import { range } from '../../core/shape.ts'
import type { Rotation } from '../../nn/positions.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type DalleConfig, lengthsOf } from './config.ts'

/** Where an image token stands among those of the text, and a text token on both axes of the picture: far off. */
const IMAGE_IN_TEXT = 8192
const TEXT_IN_IMAGE = -10

/**
 * DALLE-pytorch's rotary positions, on three axes of a third of a head's channels each: the place in the text, the row and the column. Angles
 * are rounded to float32 as there. Channels beyond turn by nothing. [tokens, dim_head/2].
 */
export function dalleRotation(config: DalleConfig): Rotation {
  const { dim_head, image_fmap_size: side } = config
  const { text, inputs } = lengthsOf(config)
  const width = Math.floor(dim_head / 3)
  const pairs = range(Math.floor(width / 2))
  const f = Math.fround
  const inText = pairs.map((i) => f(1 / f(10_000 ** f((2 * i) / width))))
  const last = pairs.length - 1
  const inImage = pairs.map((i) => f(f(1 + (last === 0 ? 0 : (4 * i) / last)) * f(Math.PI)))
  const along = range(side).map((i) => f(side === 1 ? -1 : -1 + (2 * i) / (side - 1)))
  const angles = range(inputs).map((token) => {
    const at = token - text
    const [row, column] = at < 0 ? [TEXT_IN_IMAGE, TEXT_IN_IMAGE] : [along[Math.floor(at / side)], along[at % side]]
    const turned = [
      ...inText.map((frequency) => f((at < 0 ? token : IMAGE_IN_TEXT) * frequency)),
      ...inImage.map((frequency) => f((row as number) * frequency)),
      ...inImage.map((frequency) => f((column as number) * frequency)),
    ]
    return [...turned, ...Array<number>(dim_head / 2 - turned.length).fill(0)]
  })
  return { cos: NdArray.from(angles.map((row) => row.map(Math.cos))), sin: NdArray.from(angles.map((row) => row.map(Math.sin))) }
}
