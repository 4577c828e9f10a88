import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { saving, syncFolder, temporaryIn, writeAll, writeAtomic } from '../checkpoints/atomic.ts'
import { ArgumentError, ShapeError } from '../core/errors.ts'
import { encodeAnimation, savePng } from '../images/encode.ts'
import { type Picture, type Pixels, pixelsOf } from '../images/pixels.ts'
import { encodeMp4 } from './mp4.ts'
import { encodeWebm } from './webm.ts'

/** A film's file by its ending; or a folder of numbered PNGs, whose name ends in a slash. */
export type FilmFormat = 'mp4' | 'webm' | 'webp' | 'gif' | 'folder'
export const filmEndings = /\.(mp4|webm|webp|gif)$|[/\\]$/i

/** @returns undefined for a name of no film */
export function filmFormatOf(path: string): FilmFormat | undefined {
  const found = filmEndings.exec(path)
  if (!found) return undefined
  return (found[1]?.toLowerCase() ?? 'folder') as FilmFormat
}

export interface SaveFilmOptions {
  /** Pictures a second. */
  readonly rate: number
  /** 1–100; 90 by default. PNGs and a GIF have none. */
  readonly quality?: number | undefined
  /** How the film was made. An MP4 and a WebM have it as their comment, a WebP and PNGs as pictures do; a GIF has no place for it. */
  readonly parameters?: string | undefined
  readonly text?: Readonly<Record<string, string>>
}

/**
 * A film's bytes: MP4 (H.264), WebM (VP8), an animated WebP or GIF.
 *
 * @throws ArgumentError for no pictures, ShapeError for pictures of different sizes
 */
export async function encodeFilm(
  format: Exclude<FilmFormat, 'folder'>,
  frames: readonly Picture[],
  { rate, quality = 90, parameters }: SaveFilmOptions,
): Promise<Uint8Array> {
  const { W, H } = checkFilm(frames, rate)
  const encoding = { rate, quality, comment: parameters, width: W, height: H }
  if (format === 'mp4') return encodeMp4(levels(frames), encoding)
  if (format === 'webm') return encodeWebm(levels(frames), encoding)
  const comment = parameters !== undefined && { parameters }
  return encodeAnimation([...levels(frames)], { delay: Math.round(1000 / rate), quality, format, ...comment })
}

/**
 * Writes a film in one step: as `encodeFilm` does, or a folder of PNGs, 0000.png and so on, by its name.
 *
 * @throws ArgumentError for another name or no pictures, ShapeError for pictures of different sizes, SaveError
 */
export async function saveFilm(path: string, frames: readonly Picture[], options: SaveFilmOptions): Promise<void> {
  const format = filmFormatOf(path)
  if (!format)
    throw new ArgumentError(`${path}: films are written as .mp4, .webm, .webp, .gif or into a folder (a name that ends in /)`)
  checkFilm(frames, options.rate)
  if (format !== 'folder') {
    const bytes = await encodeFilm(format, frames, options)
    return writeAtomic(path, (fd) => writeAll(fd, bytes))
  }
  const { text = {}, parameters } = options
  return saveFolder(path, levels(frames), { ...text, ...(parameters !== undefined && { parameters }) })
}

/** The size of a film's pictures. */
function checkFilm(frames: readonly Picture[], rate: number): { readonly W: number; readonly H: number } {
  if (!(rate > 0 && rate <= 1000))
    throw new ArgumentError(`a film of ${rate} pictures a second: it must lie above 0 and be 1000 at most`)
  const [size, ...others] = frames.map(({ shape, dtype }) =>
    dtype === 'u8' ? { H: shape[0] as number, W: shape[1] as number } : { H: shape[1] as number, W: shape[2] as number },
  )
  if (!size) throw new ArgumentError('a film of no pictures')
  const odd = others.findIndex(({ H, W }) => H !== size.H || W !== size.W)
  if (odd >= 0)
    throw new ShapeError(
      `picture ${odd + 1} of the film is ${others[odd]?.W}×${others[odd]?.H} and picture 0 ${size.W}×${size.H}: they must be of one size`,
    )
  return size
}

/** Pictures as levels, one at a time. */
function* levels(frames: readonly Picture[]): Generator<Pixels> {
  for (const frame of frames) yield pixelsOf(frame)
}

/** PNGs in a folder of their own, which takes its name when all are written; one that is there must be empty. */
async function saveFolder(path: string, frames: Iterable<Pixels>, text: Readonly<Record<string, string>>): Promise<void> {
  const target = resolve(path)
  const folder = dirname(target)
  const temp = saving(path, () => {
    const made = temporaryIn(folder)
    mkdirSync(made)
    return made
  })
  try {
    let k = 0
    for (const frame of frames) await savePng(join(temp, `${String(k++).padStart(4, '0')}.png`), frame, { text })
    saving(path, () => {
      if (isFolder(target)) {
        if (readdirSync(target).length > 0)
          throw new ArgumentError(`${path}: holds files already: name a new folder, or empty it`)
        rmSync(target, { recursive: true })
      }
      renameSync(temp, target)
      syncFolder(folder)
    })
  } finally {
    rmSync(temp, { recursive: true, force: true })
  }
}

function isFolder(path: string): boolean {
  try {
    readdirSync(path)
    return true
  } catch {
    return false
  }
}
