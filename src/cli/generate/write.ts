import type { Result } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type Io, version } from '../command.ts'

/** What a file says of how it was made. */
export interface Entry {
  readonly prompt: string
  readonly negative: string | undefined
  readonly settings: Readonly<Record<string, string | number | undefined>>
}

/** What a run made, and what is said of its k-th picture, of this size. */
export interface Made {
  readonly result: Result
  readonly entries: (k: number, size: string) => Entry
}

export interface Writing {
  readonly target: string
  /** All pictures as one, in so many columns. */
  readonly grid?: { readonly columns: number | undefined } | undefined
  readonly draw: boolean
  readonly quality?: number | undefined
  /** What is made of a picture before it is written. */
  readonly enlarge?: ((picture: NdArray<'f32'>) => Promise<NdArray<'f32'>>) | undefined
  readonly io: Io
}

/** What was written, by its file or, of a text, by itself. */
export type Written = Readonly<Record<string, string | number | undefined>> & { readonly file?: string; readonly text?: string }

/** The endings of files that pictures are written to. */
export const endings = /\.(png|jpe?g|webp)$/i

/** picture.png, picture-1.png, … */
export const numbered = (target: string, k: number): string =>
  k === 0 ? target : target.replace(endings, (ending) => `-${k}${ending}`)

/** Writes results: pictures with their settings, films as animated WebP, embeddings as safetensors; texts go to standard output. */
export async function write(all: readonly Made[], writing: Writing): Promise<Written[]> {
  const { imageGrid, imagesOf } = await import('../../images/index.ts')
  const written: Written[] = []
  const pictures: { readonly picture: NdArray<'f32'>; readonly entry: Entry }[] = []
  for (const { result, entries } of all) {
    if (result.type === 'text') {
      written.push(...result.texts.map((text, k) => ({ text, ...entries(k, '').settings, Size: undefined })))
    } else if (result.type === 'frames') {
      written.push(...(await films(result, { ...writing, entries, first: written.length })))
    } else if (result.type === 'latents' && result.named) {
      written.push(await embeddings(result.named, { ...writing, entries, first: written.length }))
    } else {
      const made = result.type === 'pictures' ? result.pictures : result.latents
      const size = `${made.shape[3]}x${made.shape[2]}`
      for (const [k, one] of imagesOf(made).entries()) {
        const picture = one as NdArray<'f32'>
        pictures.push({ picture: writing.enlarge ? await writing.enlarge(picture) : picture, entry: entries(k, size) })
      }
    }
  }
  if (writing.grid && pictures.length > 0) {
    const grid = imageGrid(
      pictures.map(({ picture }) => picture),
      writing.grid.columns === undefined ? {} : { columns: writing.grid.columns },
    )
    written.push(await save(grid, pictures[0]?.entry as Entry, writing.target, writing))
  } else
    for (const { picture, entry } of pictures)
      written.push(await save(picture, entry, numbered(writing.target, written.length), writing))
  return written
}

async function save(
  picture: Parameters<typeof import('../../images/index.ts').savePicture>[1],
  { settings, ...texts }: Entry,
  file: string,
  { draw, quality, io }: Writing,
): Promise<Written> {
  const { drawInTerminal, savePicture } = await import('../../images/index.ts')
  const { parametersText } = await import('../../pipelines/index.ts')
  const known = { ...settings, Version: `langevin ${version()}` }
  await savePicture(file, picture, {
    parameters: parametersText({ ...texts, settings: known }),
    text: { Software: `langevin ${version()}` },
    ...(quality !== undefined && { quality }),
  })
  if (draw) await drawInTerminal(picture, { stream: io.out })
  return { file, ...known }
}

/** What a prior made for a decoder, which takes the file: all of a run in one. */
async function embeddings(
  named: Readonly<Record<string, NdArray<'f32'>>>,
  { target, entries, first }: Writing & Pick<Made, 'entries'> & { readonly first: number },
): Promise<Written> {
  const { writeSafetensors } = await import('../../checkpoints/index.ts')
  const file = numbered(target, first).replace(endings, '.safetensors')
  writeSafetensors(file, Object.entries(named))
  return { file, ...entries(0, '').settings, Size: undefined, Version: `langevin ${version()}` }
}

async function films(
  { frames, rate }: Extract<Result, { type: 'frames' }>,
  { target, entries, first, quality }: Writing & Pick<Made, 'entries'> & { readonly first: number },
): Promise<Written[]> {
  const { encodeAnimation, imagesOf } = await import('../../images/index.ts')
  const { writeAll, writeAtomic } = await import('../../checkpoints/atomic.ts')
  const [films = 0, length = 0, C = 0, H = 0, W = 0] = frames.shape
  const written: Written[] = []
  for (let k = 0; k < films; k++) {
    const file = numbered(target, first + k).replace(endings, '.webp')
    const pictures = imagesOf(frames.slice(0, k, k + 1).reshape([length, C, H, W]))
    const bytes = await encodeAnimation(pictures, { delay: Math.round(1000 / rate), ...(quality !== undefined && { quality }) })
    writeAtomic(file, (fd) => writeAll(fd, bytes))
    written.push({ file, ...entries(k, `${W}x${H}`).settings, Version: `langevin ${version()}` })
  }
  return written
}
