import { decodeImage, decodeMask, ImageError } from '../../images/index.ts'
import type { Page } from '../../pipelines/page.ts'
import { JobError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { optionsSchema, type PictureRef, withPictures } from './options.ts'

/**
 * A job's options with its pictures read, as the page takes them: what its schema calls a map has one channel and 16 bits, a mask is
 * what is repainted.
 *
 * @throws JobError that names the option
 */
export async function readOptions(
  page: Page,
  options: Readonly<Record<string, unknown>>,
  { store, owner }: { readonly store: Store; readonly owner: string },
): Promise<Record<string, unknown>> {
  const { properties } = optionsSchema(page)
  const read = async ({ file, mask }: PictureRef, place: readonly string[]) => {
    const param = place.join('.')
    const stored = await store.get(owner, file)
    if (!stored) throw new JobError('invalid_options', `${param}: no file ${file}; upload it again`, { param })
    try {
      const name = { name: param }
      if (place[0] === 'mask' || mask) return await readMask(stored.bytes, mask, param)
      if (properties[place[0] as string]?.media === 'map')
        return await decodeImage(stored.bytes, { ...name, channels: 1, depth: 16 })
      return await decodeImage(stored.bytes, { ...name, depth: place[0] === 'controls' ? 16 : 8 })
    } catch (error) {
      if (error instanceof ImageError) throw new JobError('invalid_options', error.message, { param, cause: error })
      throw error
    }
  }
  const waiting: Promise<unknown>[] = []
  const later = withPictures(options, (ref, place) => {
    const reading = read(ref, place)
    waiting.push(reading)
    return { reading }
  })
  await Promise.all(waiting)
  return (await settled(later)) as Record<string, unknown>
}

async function readMask(bytes: Uint8Array, mask: PictureRef['mask'], name: string) {
  if (mask === 'inverted') return (await decodeMask(bytes, { name })).mul(-1)
  return decodeMask(bytes, { name, ...(mask && { alpha: mask }) })
}

/** Replaces each promise by what it gave. */
async function settled(value: unknown): Promise<unknown> {
  if (typeof value !== 'object' || value === null) return value
  if ('reading' in value) return value.reading
  if (Array.isArray(value)) return Promise.all(value.map(settled))
  const entries = await Promise.all(Object.entries(value).map(async ([key, one]) => [key, await settled(one)] as const))
  return Object.fromEntries(entries)
}
