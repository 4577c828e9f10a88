import { z } from 'zod'
import { ImageError } from '../../images/errors.ts'
import { decodeImage, encodePlanes, readHeader } from '../../images/index.ts'
import type { Upscaler } from '../../pipelines/upscale/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { JobError } from '../errors.ts'
import type { JobResult, MadeFile } from '../job.ts'
import { runningFault } from './faults.ts'
import type { Run } from './generate.ts'
import { pictureRef } from './options.ts'

/** What an enlargement takes. */
export const upscaleOptions = z.strictObject({
  image: pictureRef.meta({ description: 'the picture' }),
  scale: z
    .number()
    .positive()
    .max(64)
    .optional()
    .meta({ description: "how much larger; the model's own unless given, 4 of lanczos" }),
  tile: z
    .int()
    .min(0)
    .default(256)
    .meta({ description: 'pixels a side of the parts that a larger picture is made in; 0 for none' }),
  overlap: z.int().min(0).optional().meta({ description: 'pixels that parts share, averaged' }),
})

/** Most pixels of a result. */
const LARGEST = 64 * 2 ** 20

/** Enlarges a job's picture. @throws JobError; the signal's reason where that stopped it */
export async function upscale(
  upscaler: Upscaler,
  { spec, store, signal, onProgress, version }: Run,
): Promise<Omit<JobResult, 'seconds'>> {
  const parsed = upscaleOptions.safeParse(spec.options)
  if (!parsed.success)
    throw new JobError('invalid_options', z.prettifyError(parsed.error), { param: String(parsed.error.issues[0]?.path[0]) })
  const { image, scale = upscaler.scale, ...tiles } = parsed.data
  const stored = await store.get(spec.owner, image.file)
  if (!stored) throw new JobError('invalid_options', `image: no file ${image.file}; upload it again`, { param: 'image' })
  try {
    const { planes, depth } = await readPlanes(stored.bytes)
    const [, height = 0, width = 0] = planes.shape
    if (width * height * scale * scale > LARGEST)
      throw new JobError(
        'invalid_options',
        `scale: ${width} × ${height} pixels ${scale} times as large are more than ${LARGEST}`,
        { param: 'scale' },
      )
    const steps = upscaler.upscale(planes, { ...tiles, scale, signal })
    let next = await steps.next()
    for (; !next.done; next = await steps.next()) {
      await new Promise(setImmediate)
      signal.throwIfAborted()
      onProgress({ ...next.value, picture: 0, at: Date.now() })
    }
    return { files: [await written(next.value, depth)], settings: { Upscaler: upscaler.name, Model: spec.model, Scale: scale } }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (error instanceof ImageError) throw new JobError('invalid_options', error.message, { param: 'image', cause: error })
    throw runningFault(error)
  }

  async function written(made: NdArray<'f32'>, depth: 8 | 16): Promise<MadeFile> {
    const [, height = 0, width = 0] = made.shape
    const bytes = await encodePlanes(made, { depth, text: { Software: `langevin ${version}` } })
    const file = await store.put(spec.owner, bytes, 'image/png')
    return { file, type: 'image/png', bytes: bytes.length, width, height }
  }
}

/** A picture's planes in [0, 1], as many as its format has, and the bits of its levels. */
async function readPlanes(bytes: Uint8Array): Promise<{ planes: NdArray<'f32'>; depth: 8 | 16 }> {
  const { hasAlpha, grey, depth } = await readHeader(bytes)
  const decoded = await decodeImage(bytes, { channels: hasAlpha ? 4 : grey ? 1 : 3, depth, name: 'image' })
  const planes = decoded.map((value) => (value + 1) / 2)
  const kept = grey && hasAlpha ? NdArray.concat([planes.slice(0, 0, 1), planes.slice(0, 3, 4)], 0) : planes
  return { planes: kept as NdArray<'f32'>, depth }
}
