import type { NdArray } from '../../runtime/ndarray.ts'
import { UsageError } from '../errors.ts'
import { numbered } from './target.ts'

/** How the text of a `--control` becomes a control image, beside the preprocessors of pictures. */
export const layoutWord = 'layout'

/** What is read of a command's options, the pipeline's own width and height among them. */
interface Given {
  readonly control: readonly string[]
  readonly preprocess: readonly string[]
  readonly controlOut?: string | undefined
  readonly [option: string]: unknown
}

/**
 * The control images of a run: pictures as they are, or what `--preprocess` makes of them; written to `--control-out` where that is given.
 *
 * @throws UsageError, ImageError
 */
export async function controlImages(given: Given): Promise<NdArray[]> {
  const { control, preprocess, controlOut } = given
  const images = await Promise.all(control.map((text, i) => imageOf(text, preprocess[i] ?? preprocess[0], given)))
  if (controlOut !== undefined) {
    const { savePng } = await import('../../images/index.ts')
    for (const [i, image] of images.entries()) await savePng(numbered(controlOut, i), image as NdArray<'f32'>)
  }
  return images
}

async function imageOf(text: string, how: string | undefined, given: Given): Promise<NdArray> {
  const { decodeImage, decodePixels, preprocessors, toTensor } = await import('../../images/index.ts')
  if (how === undefined || how === 'none') return decodeImage(text, { depth: 16 })
  if (how !== layoutWord) return toTensor(preprocessors[how as keyof typeof preprocessors](await decodePixels(text)))
  const { layoutMap } = await import('../../data/index.ts')
  const side = (name: 'width' | 'height') => (typeof given[name] === 'number' ? given[name] : 64)
  return toTensor(layoutMap(await layoutOf(text), { width: side('width'), height: side('height') }))
}

const number = String.raw`\s*(\d+\.?\d*|\.\d+)\s*`
const boxed = new RegExp(`^(.+?)@${number},${number},${number},${number}$`)

/** Objects with their boxes, as `fox@0,0.2,0.5,0.7; star@0.5,0,1,0.5`. */
async function layoutOf(text: string) {
  const { sceneNouns } = await import('../../data/index.ts')
  const known = sceneNouns()
  return text
    .split(';')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const fail = (why: string) =>
        new UsageError(`--control: ${part.trim()}: ${why}; a layout is "NAME@LEFT,TOP,RIGHT,BOTTOM; …", in shares of the sides`)
      const [, name = '', ...sides] = boxed.exec(part.trim()) ?? []
      if (sides.length === 0) throw fail('no object with its box')
      const word = name.replace(/^(an?|the)\s+/i, '').trim()
      const noun = known.find(({ words }) => words.includes(word))
      if (!noun) throw fail(`${word} is no object of the scenes, as ${known[0]?.words[0]} is`)
      const box = sides.map(Number) as [number, number, number, number]
      const [left, top, right, bottom] = box
      if (!(left < right && top < bottom && right <= 1 && bottom <= 1)) throw fail('its box is none within 0 to 1')
      return { name: noun.icon.name, box }
    })
}

/** As many ways as pictures, or one for all. @throws UsageError */
export function checkPreprocess({ control, preprocess, controlOut }: Given): void {
  if (preprocess.length > 0 && control.length === 0) throw new UsageError('--preprocess: there is no --control')
  if (controlOut !== undefined && control.length === 0) throw new UsageError('--control-out: there is no --control')
  if (preprocess.length > 1 && preprocess.length !== control.length)
    throw new UsageError(`--preprocess: ${preprocess.length} for ${control.length} pictures; give one for all, or one each`)
}
