import { createHash } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SafetensorsError } from '../../checkpoints/errors.ts'
import { openSafetensors, readTensor, writeSafetensors } from '../../checkpoints/safetensors.ts'
import { ArgumentError, LangevinError } from '../../core/errors.ts'
import { sharp } from '../../images/sharp.ts'
import { drawSvg } from '../../images/svg.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { cacheFolder } from '../../runtime/node/cache.ts'
import { mapConcurrently } from '../concurrent.ts'
import { type Icon, iconFile, type Style, stickerCatalogue } from './catalogue.ts'

/** Pixels a side that icons are kept at: enough for one that fills a 96-pixel picture. */
export const rasterSize = 96
/** Icons are drawn this much larger and averaged: the filters of the set with gradients leave steps at edges otherwise. */
const oversampling = 2
/** Raised when rasters made before would be drawn otherwise now. */
const version = 1

/** Icons of one style as pixels: RGBA, alpha multiplied in, `rasterSize` a side. */
export interface Rasters {
  readonly style: Style
  /** An icon's pixels, as a view. @throws ArgumentError for an icon that this style lacks */
  of(icon: Icon): Uint8Array
}

/** Where the work stands that makes rasters the first time. */
export type RasterProgress = (style: Style, done: number, total: number) => void

export interface RasterOptions {
  /** A folder for the files; the cache folder's `stickers` by default. */
  readonly folder?: string
  readonly onProgress?: RasterProgress
  /** Only these icons, in a file of their own; all of the catalogue by default. */
  readonly icons?: readonly Icon[]
}

/**
 * All icons of a style. The first call on a machine draws them (some seconds) and keeps the pixels in one file, which later
 * calls read: 43 MB a style. A file that is damaged is made again.
 */
export async function loadRasters(style: Style, options: RasterOptions = {}): Promise<Rasters> {
  const { folder = cacheFolder('stickers'), onProgress, icons = stickerCatalogue() } = options
  const slugs = icons.flatMap((icon) => icon.slugs[style] ?? [])
  const { version: packaged } = iconFile<{ version: string }>(style, 'package.json')
  const stamp = JSON.stringify([version, packaged, sharp().versions.rsvg, rasterSize, oversampling, slugs])
  const key = createHash('sha256').update(stamp).digest('hex').slice(0, 16)
  const file = join(folder, `${style}-${rasterSize}-${key}.safetensors`)
  const stored = existsSync(file) ? read(file) : undefined
  const pixels = stored ?? (await drawAll(style, slugs, onProgress))
  if (!stored) {
    writeSafetensors(file, [['pixels', new NdArray(pixels, [slugs.length, rasterSize, rasterSize, 4], 'u8')]], { stamp })
    if (!options.icons) removeOlder(folder, `${style}-${rasterSize}-`, file)
  }
  const places = new Map(slugs.map((slug, i) => [slug, i]))
  const bytes = rasterSize * rasterSize * 4
  return {
    style,
    of(icon) {
      const at = places.get(icon.slugs[style] ?? '')
      if (at === undefined) throw new ArgumentError(`stickers: there is no ${icon.name} in the ${style} style`)
      return pixels.subarray(at * bytes, (at + 1) * bytes)
    },
  }
}

function read(file: string): Uint8Array | undefined {
  try {
    const tensor = openSafetensors(file).tensors.get('pixels')
    return tensor && (readTensor(tensor).data as Uint8Array)
  } catch (error) {
    if (error instanceof SafetensorsError) return undefined
    throw error
  }
}

/** Files of older catalogues and packages, which nothing would ever read again. */
function removeOlder(folder: string, prefix: string, kept: string): void {
  for (const name of readdirSync(folder))
    if (name.startsWith(prefix) && join(folder, name) !== kept) rmSync(join(folder, name), { force: true })
}

interface IconifySet {
  readonly width: number
  readonly height: number
  readonly icons: Readonly<Record<string, { body: string; left?: number; top?: number; width?: number; height?: number }>>
}

async function drawAll(style: Style, slugs: readonly string[], onProgress?: RasterProgress): Promise<Uint8Array> {
  const set = iconSet(style)
  const bytes = rasterSize * rasterSize * 4
  const out = new Uint8Array(slugs.length * bytes)
  let done = 0
  await mapConcurrently(slugs, 4, async (slug, i) => {
    out.set(await drawOne(set, style, slug, rasterSize), i * bytes)
    onProgress?.(style, ++done, slugs.length)
  })
  return out
}

const iconSet = (style: Style) => iconFile<IconifySet>(style, 'icons.json')

/** One icon at any size, drawn from its vectors: RGBA of `side` × `side` pixels, alpha multiplied in. */
export function vectorIcons(): (icon: Icon, style: Style, side: number) => Promise<Uint8Array> {
  const sets = new Map<Style, IconifySet>()
  return (icon, style, side) => {
    const slug = icon.slugs[style]
    if (slug === undefined) throw new ArgumentError(`stickers: there is no ${icon.name} in the ${style} style`)
    const set = sets.get(style) ?? iconSet(style)
    sets.set(style, set)
    return drawOne(set, style, slug, side)
  }
}

async function drawOne(set: IconifySet, style: Style, slug: string, side: number): Promise<Uint8Array> {
  const icon = set.icons[slug]
  if (!icon) throw new LangevinError(`stickers: ${slug} is in the metadata of the ${style} set and not in its icons`)
  const { body, left = 0, top = 0, width = set.width, height = set.height } = icon
  const drawn = side * oversampling
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${drawn}" height="${drawn}" ` +
    `viewBox="${left} ${top} ${width} ${height}">${body}</svg>`
  return average((await drawSvg(svg, `stickers: ${style} ${slug}`)).data, side)
}

/** Squares of `oversampling` pixels → one pixel with alpha multiplied in. */
function average(from: Uint8Array, side: number): Uint8Array {
  const to = new Uint8Array(side * side * 4)
  const wide = side * oversampling
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const sum = [0, 0, 0, 0]
      for (let v = 0; v < oversampling; v++)
        for (let u = 0; u < oversampling; u++) {
          const at = ((y * oversampling + v) * wide + x * oversampling + u) * 4
          const alpha = from[at + 3] as number
          for (let c = 0; c < 3; c++) sum[c] = (sum[c] as number) + ((from[at + c] as number) * alpha) / 255
          sum[3] = (sum[3] as number) + alpha
        }
      for (let c = 0; c < 4; c++) to[(y * side + x) * 4 + c] = Math.round((sum[c] as number) / oversampling ** 2)
    }
  return to
}
