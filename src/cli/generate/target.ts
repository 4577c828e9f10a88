import { existsSync, readdirSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Output } from '../../pipelines/index.ts'
import { UsageError } from '../errors.ts'
import { writable } from '../outputs.ts'

/** The endings of files that pictures are written to. */
export const pictureEndings = /\.(png|jpe?g|webp)$/i
/** Those of films: a folder of numbered PNGs by a slash at the end. */
const filmEndings = /\.(mp4|webm|webp|gif)$|[/\\]$/i
/** Either. */
export const endings = /\.(png|jpe?g|webp|mp4|webm|gif)$|[/\\]$/i

/** picture.png, picture-1.png, … */
export const numbered = (target: string, k: number): string =>
  k === 0 ? target : target.replace(endings, (ending) => `-${k}${ending}`)

/** A file of --out for what this pipeline makes. @throws UsageError */
export function targetFor(out: string | undefined, output: Output): string {
  const film = output === 'frames'
  const name = out ?? (film ? 'film.mp4' : 'picture.png')
  if (film && !filmEndings.test(name))
    throw new UsageError(
      `--out: ${name}: this model makes films: name a .mp4, .webm, .webp or .gif, or a folder with a / at its end`,
    )
  if (!film && !pictureEndings.test(name))
    throw new UsageError(`--out: ${name}: this model makes pictures: name a .png, .jpg, .jpeg or .webp`)
  return writableTarget(name)
}

/** As `writable`, also of a folder for a film's pictures, which must hold nothing. @throws UsageError */
export function writableTarget(name: string): string {
  if (!/[/\\]$/.test(name)) return writable(name)
  const target = resolve(name)
  if (!existsSync(target)) return `${writable(target)}/`
  if (!statSync(target).isDirectory())
    throw new UsageError(`--out: ${target} is a file: name a folder, or leave the slash at its end`)
  if (readdirSync(target).length > 0) throw new UsageError(`--out: ${target} holds files already: name a new folder, or empty it`)
  return `${target}/`
}
