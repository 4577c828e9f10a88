import type { NdArray } from '../../runtime/ndarray.ts'
import { version } from '../command.ts'
import { films } from './films.ts'
import { numbered, pictureEndings } from './target.ts'
import type { Entry, Made, Writing, Written } from './written.ts'

export type { Entry, Made } from './written.ts'

/** Writes results: pictures with their settings, films, embeddings as safetensors; texts go to standard output. */
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
  const file = numbered(target, first).replace(pictureEndings, '.safetensors')
  writeSafetensors(file, Object.entries(named))
  return { file, ...entries(0, '').settings, Size: undefined, Version: `langevin ${version()}` }
}
