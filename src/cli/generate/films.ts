import type { Result } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { version } from '../command.ts'
import { numbered } from './target.ts'
import type { Made, Writing, Written } from './written.ts'

/** Films as files by the ending of --out, each with its settings; a strip of their frames in the terminal. */
export async function films(
  { frames, rate }: Extract<Result, { type: 'frames' }>,
  { target, entries, first, quality, draw, enlarge, io }: Writing & Pick<Made, 'entries'> & { readonly first: number },
): Promise<Written[]> {
  const [{ drawInTerminal, imagesOf }, { filmStrip, saveFilm }, { parametersText }] = await Promise.all([
    import('../../images/index.ts'),
    import('../../video/index.ts'),
    import('../../pipelines/index.ts'),
  ])
  const written: Written[] = []
  for (const k of Array.from({ length: frames.shape[0] as number }, (_, i) => i)) {
    const file = numbered(target, first + k)
    const pictures: NdArray<'f32'>[] = []
    for (const one of imagesOf(frames.slice(0, k, k + 1).reshape(frames.shape.slice(1))))
      pictures.push(enlarge ? await enlarge(one as NdArray<'f32'>) : (one as NdArray<'f32'>))
    const [, H, W] = (pictures[0] as NdArray<'f32'>).shape
    const { settings, ...texts } = entries(k, `${W}x${H}`)
    const known = { ...settings, Version: `langevin ${version()}` }
    await saveFilm(file, pictures, {
      ...{ rate, quality },
      parameters: parametersText({ ...texts, settings: known }),
      text: { Software: `langevin ${version()}` },
    })
    if (draw) await drawInTerminal(filmStrip(pictures), { stream: io.out })
    written.push({ file, ...known })
  }
  return written
}
