import type { Job, JobSpec, MadeFile } from '../../jobs/job.ts'
import type { Api } from '../env.ts'
import { ApiError, apiErrorOf } from '../errors.ts'
import { paramOf } from './options.ts'

/** An error about the page's option as one about the request's field. */
export function reworded(error: unknown): ApiError {
  const found = apiErrorOf(error)
  const param = paramOf(found.param)
  if (param === found.param) return found
  return new ApiError(found.status, found.message, { code: found.code, param, cause: error })
}

export type EventKind = 'image_generation' | 'image_edit' | 'image_variation'

/** What OpenAI says of a picture beside it. */
export const factsOf = (file: MadeFile | undefined, { output }: JobSpec) => ({
  background: 'opaque',
  output_format: output.format,
  quality: 'auto',
  ...(file?.width !== undefined && { size: `${file.width}x${file.height}` }),
})

/** A file's bytes in base64. @throws ApiError where it is gone */
export async function base64Of({ service }: Api, owner: string, { file }: Pick<MadeFile, 'file'>): Promise<string> {
  const stored = await service.store.get(owner, file)
  if (!stored) throw new ApiError(500, `the file ${file} is gone`, { code: 'storage' })
  return Buffer.from(stored.bytes).toString('base64')
}

/** The seconds of a job's beginning, as OpenAI's fields have them. */
export const createdOf = ({ created }: Job): number => Math.floor(created / 1000)
