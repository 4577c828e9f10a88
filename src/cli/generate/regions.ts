import type { Region } from '../../pipelines/index.ts'
import { UsageError } from '../errors.ts'

const number = String.raw`(?:\d+\.?\d*|\.\d+)`
const boxed = new RegExp(`^(${number}),(${number}),(${number}),(${number})$`)

/**
 * A region as `--region` writes it: PROMPT@LEFT,TOP,RIGHT,BOTTOM or PROMPT@MASK.png, either with :WEIGHT behind it.
 *
 * @throws UsageError, ImageError
 */
export async function regionOf(text: string): Promise<Region> {
  const cut = text.lastIndexOf('@')
  const prompt = text.slice(0, Math.max(0, cut)).trim()
  const [, place = '', own] = new RegExp(`^(.*?)(?::(${number}))?$`).exec(text.slice(cut + 1)) ?? []
  const fail = (why: string) =>
    new UsageError(`--region: ${text}: ${why}; write "PROMPT@LEFT,TOP,RIGHT,BOTTOM" in shares of the sides, or "PROMPT@MASK.png"`)
  if (cut < 0 || prompt === '' || place === '') throw fail('it has no place')
  const weight = own === undefined ? 1 : Number(own)
  if (weight === 0) throw fail('a weight of 0 is no region')
  const [, ...sides] = boxed.exec(place) ?? []
  if (sides.length === 4) {
    const [left, top, right, bottom] = sides.map(Number) as [number, number, number, number]
    if (!(left < right && top < bottom && right <= 1 && bottom <= 1)) throw fail('its box is none within 0 to 1')
    return { prompt, weight, box: [left, top, right, bottom] }
  }
  if (!/\.(png|jpe?g|webp)$/i.test(place)) throw fail('its place is neither a box nor a picture')
  const { decodeMask } = await import('../../images/index.ts')
  return { prompt, weight, mask: await decodeMask(place) }
}

/** What a picture's settings say of regions, as `--region` writes them; undefined where a mask is not in the file. */
export function regionTexts(words: string): string[] | undefined {
  try {
    const found = JSON.parse(words) as readonly {
      readonly prompt: string
      readonly box?: readonly number[]
      readonly weight?: number
    }[]
    if (!found.every(({ box }) => Array.isArray(box))) return undefined
    return found.map(({ prompt, box, weight = 1 }) => `${prompt}@${box?.join(',')}${weight === 1 ? '' : `:${weight}`}`)
  } catch {
    return undefined
  }
}
