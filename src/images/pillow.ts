import { ShapeError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type Pixels, sizeOf } from './pixels.ts'
import { type Kernel, kernels } from './resize.ts'

// What the reference pipelines do to 8-bit pictures with Pillow, to the bit (src/libImaging, v11: Resample.c, BoxBlur.c, Convert.c).

/** A rectangle in pixels: left, top, and the first column and row beyond it. */
export type Box = readonly [left: number, top: number, right: number, bottom: number]

/** Bits behind the point of a resampling weight. */
const fraction = 22

export interface PillowOptions {
  readonly width: number
  readonly height: number
  readonly kernel?: Kernel
  /** The part that is resampled; the whole unless given. */
  readonly box?: Box
  /** Pillow's `reducing_gap` of 1: what shrinks to a half or less is first averaged over whole blocks. Of a whole picture. */
  readonly reduce?: boolean
}

/** `Image.resize`: across and then down, each pass rounded to levels. */
export function resizeLevels(pixels: Pixels, { width, height, kernel = 'lanczos', box, reduce }: PillowOptions): Pixels {
  const { H, W } = sizeOf(pixels)
  const [across, down] = [Math.max(1, Math.trunc(W / width)), Math.max(1, Math.trunc(H / height))]
  if (reduce && (across > 1 || down > 1))
    return resizeLevels(averaged(pixels, across, down), { width, height, kernel, box: [0, 0, W / across, H / down] })
  const [left, top, right, bottom] = box ?? [0, 0, W, H]
  const rows = width === W && left === 0 && right === W ? pixels : pass(pixels, 1, [left, right], width, kernel)
  return height === H && top === 0 && bottom === H ? rows : pass(rows, 0, [top, bottom], height, kernel)
}

/** `Image.reduce`: the means of blocks, at the right and below of what is left of them (Reduce.c, whose division has 24 bits). */
function averaged(pixels: Pixels, across: number, down: number): Pixels {
  const { H, W, C } = sizeOf(pixels)
  const [height, width] = [Math.ceil(H / down), Math.ceil(W / across)]
  const out = new Uint8Array(height * width * C)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [bottom, right] = [Math.min(H, (y + 1) * down), Math.min(W, (x + 1) * across)]
      const count = (bottom - y * down) * (right - x * across)
      const share = Math.trunc(Math.fround(2 ** 24 / count))
      for (let c = 0; c < C; c++) {
        let sum = Math.floor(count / 2)
        for (let j = y * down; j < bottom; j++)
          for (let i = x * across; i < right; i++) sum += pixels.data[(j * W + i) * C + c] as number
        out[(y * width + x) * C + c] = Math.floor((sum * share) / 2 ** 24)
      }
    }
  return new NdArray(out, [height, width, C], 'u8')
}

/** One axis of [H, W, C] resampled from a stretch of it. */
function pass(pixels: Pixels, axis: 0 | 1, [from, to]: readonly [number, number], count: number, kernel: Kernel): Pixels {
  const { H, W, C } = sizeOf(pixels)
  const length = axis === 1 ? W : H
  const [outer, inner] = axis === 1 ? [H, C] : [1, W * C]
  const shape = axis === 1 ? [H, count, C] : [count, W, C]
  const out = new Uint8Array(outer * count * inner)
  const scale = (to - from) / count
  const stretch = Math.max(1, scale)
  const { radius, at } = kernels[kernel]
  const reach = radius * stretch
  for (let i = 0; i < count; i++) {
    const centre = from + (i + 0.5) * scale
    const first = Math.max(0, Math.trunc(centre - reach + 0.5))
    const last = Math.min(length, Math.trunc(centre + reach + 0.5))
    const raw = Array.from({ length: last - first }, (_, k) => at((k + first - centre + 0.5) / stretch))
    const sum = raw.reduce((a, b) => a + b, 0)
    const weights = raw.map((w) => roundAway((w / sum) * 2 ** fraction))
    for (let o = 0; o < outer; o++) {
      for (let j = 0; j < inner; j++) {
        let level = 2 ** (fraction - 1)
        for (let k = 0; k < weights.length; k++) {
          level += (pixels.data[(o * length + first + k) * inner + j] as number) * (weights[k] as number)
        }
        out[(o * count + i) * inner + j] = Math.min(255, Math.max(0, Math.floor(level / 2 ** fraction)))
      }
    }
  }
  return new NdArray(out, shape, 'u8')
}

const roundAway = (x: number) => (x < 0 ? Math.trunc(x - 0.5) : Math.trunc(x + 0.5))

/** `Image.convert('L')`: luminance by ITU-R 601, [H, W, 1]. */
export function toGrey(pixels: Pixels): Pixels {
  const { H, W, C } = sizeOf(pixels)
  if (C === 1) return pixels
  const out = new Uint8Array(H * W)
  for (let i = 0; i < out.length; i++) {
    const [r, g, b] = pixels.data.subarray(i * C, i * C + 3) as unknown as [number, number, number]
    out[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16
  }
  return new NdArray(out, [H, W, 1], 'u8')
}

/** `Image.crop`: what lies beyond the picture is 0. */
export function cropLevels(pixels: Pixels, [left, top, right, bottom]: Box): Pixels {
  return pasteLevels(NdArray.zeros([bottom - top, right - left, sizeOf(pixels).C], 'u8'), pixels, -left, -top)
}

/** `Image.paste`: a copy of `background` with a picture over it, as far as it lies within. */
export function pasteLevels(background: Pixels, pixels: Pixels, left: number, top: number): Pixels {
  const [under, over] = [sizeOf(background), sizeOf(pixels)]
  if (under.C !== over.C) throw new ShapeError(`pasteLevels: ${over.C} channels onto ${under.C}`)
  const out = background.data.slice()
  const [from, to] = [Math.max(0, -left), Math.min(over.W, under.W - left)]
  for (let y = Math.max(0, -top); y < Math.min(over.H, under.H - top) && from < to; y++) {
    const row = pixels.data.subarray((y * over.W + from) * over.C, (y * over.W + to) * over.C)
    out.set(row, ((y + top) * under.W + from + left) * over.C)
  }
  return new NdArray(out, background.shape, 'u8')
}

/** `ImageFilter.GaussianBlur`: three passes of a box of fractional width each way (Gwosdek et al. 2011). */
export function blurLevels(pixels: Pixels, sigma: number): Pixels {
  const variance = (sigma * sigma) / 3
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2)
  const part = ((2 * whole + 1) * (whole * (whole + 1) - 3 * variance)) / (6 * (variance - (whole + 1) ** 2))
  if (sigma === 0) return pixels
  const { H, W, C } = sizeOf(pixels)
  const out = pixels.data.slice()
  const lines = (count: number, length: number, start: (line: number) => number, step: number) => {
    const line = new Uint8Array(length)
    for (let l = 0; l < count; l++) {
      const at = start(l)
      for (let i = 0; i < length; i++) line[i] = out[at + i * step] as number
      for (let k = 0; k < 3; k++) boxLine(line, whole + part)
      for (let i = 0; i < length; i++) out[at + i * step] = line[i] as number
    }
  }
  lines(H * C, W, (l) => Math.floor(l / C) * W * C + (l % C), C)
  lines(W * C, H, (l) => l, W * C)
  return new NdArray(out, pixels.shape, 'u8')
}

/** A box of 2·radius + 1, its ends of fractional weight, over one line in place; beyond the ends the line goes on as it ends. */
function boxLine(line: Uint8Array, radius: number): void {
  const whole = Math.trunc(radius)
  const middle = Math.floor(2 ** 24 / (radius * 2 + 1))
  const edge = Math.floor((2 ** 24 - (whole * 2 + 1) * middle) / 2)
  const source = line.slice()
  const at = (i: number) => source[Math.min(source.length - 1, Math.max(0, i))] as number
  for (let i = 0; i < line.length; i++) {
    let sum = 0
    for (let k = -whole; k <= whole; k++) sum += at(i + k)
    line[i] = Math.floor((sum * middle + (at(i - whole - 1) + at(i + whole + 1)) * edge + 2 ** 23) / 2 ** 24)
  }
}
