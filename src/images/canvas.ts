import { ArgumentError, ShapeError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type Box, blurLevels, pasteLevels, resizeLevels } from './pillow.ts'
import { type Pixels, sizeOf } from './pixels.ts'

// What AUTOMATIC1111's web UI does to a picture before and after the network, in levels.

/** `stretch`: to the size as it is. `crop`: covering the size, its middle. `fill`: within the size, its edges drawn out. */
export type FitMode = 'stretch' | 'crop' | 'fill'

/** A picture [H, W, C] in another size (Lanczos), by one of the web UI's three resize modes. */
export function fitPicture(
  pixels: Pixels,
  { width, height, mode = 'crop' }: { readonly width: number; readonly height: number; readonly mode?: FitMode },
): Pixels {
  for (const side of [width, height])
    if (!Number.isInteger(side) || side < 1)
      throw new ArgumentError(`fitPicture: expected whole pixels, got ${width} × ${height}`)
  const { H, W, C } = sizeOf(pixels)
  if (mode === 'stretch') return resizeLevels(pixels, { width, height })
  const wide = width * H > W * height
  const byWidth = mode === 'crop' ? wide : !wide
  const own = byWidth
    ? { width, height: Math.max(1, Math.floor((H * width) / W)) }
    : { width: Math.max(1, Math.floor((W * height) / H)), height }
  const resized = resizeLevels(pixels, own)
  const [left, top] = [Math.floor(width / 2) - Math.floor(own.width / 2), Math.floor(height / 2) - Math.floor(own.height / 2)]
  const out = pasteLevels(NdArray.zeros([height, width, C], 'u8'), resized, left, top)
  if (mode === 'crop') return out
  const edge = (v: number, size: number) => Math.min(size - 1, Math.max(0, v))
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [v, u] = [y - top, x - left]
      if (v >= 0 && v < own.height && u >= 0 && u < own.width) continue
      const from = (edge(v, own.height) * own.width + edge(u, own.width)) * C
      for (let c = 0; c < C; c++) out.data[(y * width + x) * C + c] = resized.data[from + c] as number
    }
  return out
}

/** Radii of the blurs that spread a picture into its mask, and how often each is laid over. */
const spread = [
  [256, 1],
  [64, 1],
  [16, 2],
  [4, 4],
  [2, 2],
  [0, 1],
] as const

/**
 * The masked part filled with the colours around it, by ever finer blurs: the web UI's in-painting fill.
 *
 * @param pixels [H, W, 3]
 * @param mask [H, W, 1], 255 where it is filled
 */
export function fillMasked(pixels: Pixels, mask: Pixels): Pixels {
  const { H, W, C } = sizeOf(pixels)
  const own = sizeOf(mask)
  if (C !== 3 || own.H !== H || own.W !== W || own.C !== 1)
    throw new ShapeError(`fillMasked: expected [H, W, 3] and a mask [H, W, 1], got [${pixels.shape}] and [${mask.shape}]`)
  // Colours times what is kept of them, and that share.
  const kept = new Uint8Array(H * W * 4)
  for (let i = 0; i < H * W; i++) {
    const share = 255 - (mask.data[i] as number)
    for (let c = 0; c < 3; c++) kept[i * 4 + c] = Math.round(((pixels.data[i * 3 + c] as number) * share) / 255)
    kept[i * 4 + 3] = share
  }
  const out = new Float64Array(H * W * 4)
  for (const [radius, times] of spread) {
    const { data } = blurLevels(new NdArray(kept, [H, W, 4], 'u8'), radius)
    for (let i = 0; i < H * W; i++) {
      const alpha = (data[i * 4 + 3] as number) / 255
      for (let k = 0; k < times && alpha > 0; k++) {
        for (let c = 0; c < 4; c++) out[i * 4 + c] = (data[i * 4 + c] as number) + (out[i * 4 + c] as number) * (1 - alpha)
      }
    }
  }
  const filled = new Uint8Array(H * W * 3)
  for (let i = 0; i < H * W; i++) {
    const alpha = (out[i * 4 + 3] as number) / 255
    for (let c = 0; c < 3; c++)
      filled[i * 3 + c] =
        alpha > 0 ? Math.min(255, Math.round((out[i * 4 + c] as number) / alpha)) : (pixels.data[i * 3 + c] as number)
  }
  return new NdArray(filled, [H, W, 3], 'u8')
}

/** What the masked part begins with: as it is, filled from around, noise, or nothing. */
export type MaskedContent = 'original' | 'fill' | 'latent noise' | 'latent nothing'

/** Latents [B, C, h, w] with the masked part (1 in `mask`, [B or 1, 1, h, w]) as noise or nothing; `fill` is done on the picture. */
export function maskedLatents(
  latents: NdArray<'f32'>,
  mask: NdArray<'f32'>,
  content: MaskedContent,
  noise: NdArray<'f32'>,
): NdArray<'f32'> {
  if (content === 'original' || content === 'fill') return latents
  const kept = latents.mul(mask.mul(-1).add(1))
  return content === 'latent noise' ? kept.add(noise.mul(mask)) : kept
}

/**
 * A part that was made larger, put back: it is resized to `box` (Lanczos) and laid over the picture, with a mask [H, W, 1] of the
 * whole picture only as far as that says; all else keeps its levels to the bit.
 */
export function pasteBack(
  background: Pixels,
  part: Pixels,
  { box, mask }: { readonly box: Box; readonly mask?: Pixels },
): Pixels {
  const { H, W, C } = sizeOf(background)
  const [left, top, right, bottom] = box
  if (!(left < right && top < bottom && left >= 0 && top >= 0 && right <= W && bottom <= H))
    throw new ArgumentError(`pasteBack: the box ${box.join(', ')} does not lie within ${W} × ${H}`)
  const over = pasteLevels(background, resizeLevels(part, { width: right - left, height: bottom - top }), left, top)
  if (!mask) return over
  const own = sizeOf(mask)
  if (own.H !== H || own.W !== W || own.C !== 1)
    throw new ShapeError(`pasteBack: expected a mask [${H}, ${W}, 1], got [${mask.shape}]`)
  const out = over.data.map((level, i) => {
    const share = (mask.data[Math.floor(i / C)] as number) / 255
    return Math.round((background.data[i] as number) + (level - (background.data[i] as number)) * share)
  })
  return new NdArray(out, background.shape, 'u8')
}

/**
 * The sizes of a hires fix: the first pass at the size that the model knows, the second larger, each a multiple of `multiple`.
 *
 * @param scale of both sides; or `width` and `height`
 */
export function hiresSize(
  first: { readonly width: number; readonly height: number },
  target: { readonly scale: number } | { readonly width: number; readonly height: number },
  multiple = 8,
): { readonly width: number; readonly height: number } {
  const wanted = 'scale' in target ? { width: first.width * target.scale, height: first.height * target.scale } : target
  const round = (side: number) => Math.floor(side / multiple) * multiple
  const [width, height] = [round(wanted.width), round(wanted.height)]
  if (!(width >= first.width && height >= first.height))
    throw new ArgumentError(`hires fix: ${width} × ${height} is smaller than the first pass, ${first.width} × ${first.height}`)
  return { width, height }
}
