import { NdArray } from '../runtime/ndarray.ts'
import { type DecodeOptions, decodePixels } from './decode.ts'
import { toGrey } from './pillow.ts'
import { type ImageTensor, type Pixels, sizeOf, toTensor } from './pixels.ts'

/**
 * What of a mask is repainted. `luminance`: what is bright and opaque, so that transparent parts are kept. `transparent`: what is
 * transparent, whatever its colour, as in AUTOMATIC1111's web UI and OpenAI's image edits. `opaque`: what is opaque.
 */
export type MaskAlpha = 'luminance' | 'transparent' | 'opaque'

/** A mask's picture as levels [H, W, 1]: 255 is repainted, 0 is kept. A mask without alpha counts as opaque. */
export function maskLevels(pixels: Pixels, alpha: MaskAlpha = 'luminance'): Pixels {
  const { H, W, C } = sizeOf(pixels)
  const bright = toGrey(pixels)
  const opacity = (i: number) => (C === 4 ? (pixels.data[i * 4 + 3] as number) : 255)
  const out = bright.data.map((level, i) =>
    alpha === 'luminance' ? Math.round((level * opacity(i)) / 255) : alpha === 'opaque' ? opacity(i) : 255 - opacity(i),
  )
  return new NdArray(out, [H, W, 1], 'u8')
}

/**
 * Reads a mask: float32 [1, H, W] in [−1, 1], 1 is repainted.
 *
 * @throws ImageError
 */
export async function decodeMask(
  source: string | Uint8Array,
  { alpha, ...options }: Omit<DecodeOptions, 'channels' | 'depth'> & { readonly alpha?: MaskAlpha } = {},
): Promise<ImageTensor> {
  return toTensor(maskLevels(await decodePixels(source, { ...options, channels: 4 }), alpha))
}
