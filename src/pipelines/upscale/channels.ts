import { NdArray } from '../../runtime/ndarray.ts'

/** Shares of red, green and blue in grey (ITU-R BT.601), as OpenCV takes them. */
const LUMA = [0.299, 0.587, 0.114] as const

/**
 * A picture's planes as a network takes them, each part [C, H, W]: the colours, and alpha by itself. A network of three channels sees a
 * grey plane three times, one of one channel sees red, green and blue one after another.
 *
 * @param picture [1|2|3|4, H, W]: grey, grey and alpha, RGB, RGB and alpha
 */
export function partsFor(picture: NdArray<'f32'>, channels: number): NdArray<'f32'>[] {
  const planes = Array.from({ length: picture.shape[0] as number }, (_, i) => picture.slice(0, i, i + 1))
  if (channels === 1) return planes
  const colours = planes.length >= 3 ? [picture.slice(0, 0, 3)] : [thrice(planes[0] as NdArray<'f32'>)]
  return planes.length % 2 === 0 ? [...colours, thrice(planes.at(-1) as NdArray<'f32'>)] : colours
}

/** What the network made of the parts, as a picture of so many channels again. */
export function fromParts(parts: readonly NdArray<'f32'>[], channels: number, networkChannels: number): NdArray<'f32'> {
  if (networkChannels === 1) return NdArray.concat([...parts], 0)
  const colours = parts[0] as NdArray<'f32'>
  if (channels === 3) return colours
  const alpha = channels % 2 === 0 ? [grey(parts.at(-1) as NdArray<'f32'>)] : []
  return NdArray.concat([channels >= 3 ? colours : grey(colours), ...alpha], 0)
}

const thrice = (plane: NdArray<'f32'>): NdArray<'f32'> => NdArray.concat([plane, plane, plane], 0)

function grey(colours: NdArray<'f32'>): NdArray<'f32'> {
  const [, height, width] = colours.shape as [number, number, number]
  const plane = NdArray.zeros([1, height, width])
  const size = height * width
  for (let i = 0; i < size; i++)
    plane.data[i] = LUMA.reduce((sum, share, c) => sum + share * (colours.data[c * size + i] as number), 0)
  return plane
}

/** The picture with pixels mirrored beyond its right and lower borders: the border's own pixel first where `edge`, else not. */
export function mirrored(picture: NdArray<'f32'>, height: number, width: number, edge: boolean): NdArray<'f32'> {
  const [channels, H, W] = picture.shape as [number, number, number]
  const out = NdArray.zeros([channels, height, width])
  const at = (i: number, side: number): number => {
    const period = edge ? 2 * side : Math.max(1, 2 * side - 2)
    const k = i % period
    return k < side ? k : edge ? period - 1 - k : period - k
  }
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        out.data[(c * height + y) * width + x] = picture.data[(c * H + at(y, H)) * W + at(x, W)] as number
  return out
}
