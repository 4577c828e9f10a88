import type { Result } from '../../pipelines/index.ts'
import { type Io, version } from '../command.ts'

/** What a file says of how it was made. */
export interface Entry {
  readonly prompt: string
  readonly negative: string | undefined
  readonly settings: Readonly<Record<string, string | number | undefined>>
}

export interface Writing {
  readonly target: string
  /** The k-th file's name. */
  readonly numbered: (target: string, k: number) => string
  readonly entries: (k: number, size: string) => Entry
  readonly grid: boolean
  readonly draw: boolean
  readonly io: Io
}

/** What was made, by its file or, of a text, by itself. */
export type Made = Readonly<Record<string, string | number | undefined>> & { readonly file?: string; readonly text?: string }

/** Writes a result: pictures as PNG with their settings, films as animated WebP; texts go to standard output. */
export async function write(result: Result, writing: Writing): Promise<Made[]> {
  switch (result.type) {
    case 'pictures':
    case 'latents':
      return pictures(result.type === 'pictures' ? result.pictures : result.latents, writing)
    case 'frames':
      return films(result, writing)
    case 'text':
      return result.texts.map((text, k) => ({ text, ...writing.entries(k, '').settings, Size: undefined }))
  }
}

async function pictures(all: Extract<Result, { type: 'pictures' }>['pictures'], writing: Writing): Promise<Made[]> {
  const { target, numbered, entries, grid, draw, io } = writing
  const { drawInTerminal, imageGrid, imagesOf, savePng } = await import('../../images/index.ts')
  const { parametersText } = await import('../../pipelines/index.ts')
  const [height, width] = all.shape.slice(2)
  const made: Made[] = []
  for (const [k, picture] of (grid ? [imageGrid(all)] : imagesOf(all)).entries()) {
    const { settings, ...texts } = entries(k, `${width}x${height}`)
    const known = { ...settings, Version: `langevin ${version()}` }
    const file = numbered(target, k)
    await savePng(file, picture, {
      text: { Software: `langevin ${version()}`, parameters: parametersText({ ...texts, settings: known }) },
    })
    if (draw) await drawInTerminal(picture, { stream: io.out })
    made.push({ file, ...known })
  }
  return made
}

async function films({ frames, rate }: Extract<Result, { type: 'frames' }>, writing: Writing): Promise<Made[]> {
  const { encodeAnimation, imagesOf } = await import('../../images/index.ts')
  const { writeAll, writeAtomic } = await import('../../checkpoints/atomic.ts')
  const [films = 0, length = 0, C = 0, H = 0, W = 0] = frames.shape
  const made: Made[] = []
  for (let k = 0; k < films; k++) {
    const file = writing.numbered(writing.target, k).replace(/\.png$/i, '.webp')
    const pictures = imagesOf(frames.slice(0, k, k + 1).reshape([length, C, H, W]))
    const bytes = await encodeAnimation(pictures, { delay: Math.round(1000 / rate) })
    writeAtomic(file, (fd) => writeAll(fd, bytes))
    made.push({ file, ...writing.entries(k, `${W}x${H}`).settings, Version: `langevin ${version()}` })
  }
  return made
}
