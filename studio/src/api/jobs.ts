import { useMutation, useQueryClient } from '@tanstack/react-query'
import { ask } from './client.ts'
import { jobKeys } from './queries.ts'
import type { Job, MadeFile, Options, StoredFile } from './types.ts'

export interface Wanted {
  readonly task?: Job['task']
  readonly model: string
  readonly options: Options
  readonly metadata?: Readonly<Record<string, string>>
}

/** Milliseconds between two previews of a picture that is being made. */
const PREVIEW = 250

export const submitJob = (wanted: Wanted): Promise<Job> =>
  ask<Job>('/v1/jobs', { json: { ...wanted, previews: { every: PREVIEW } } })

/** Puts a job into the queue, and shows it at once. */
export function useSubmit() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: submitJob,
    onSuccess: (job) => {
      client.setQueryData<readonly Job[]>(jobKeys.recent, (known = []) =>
        known.some(({ id }) => id === job.id) ? known : [job, ...known],
      )
    },
  })
}

/** cancel, retry, or DELETE of a job. */
export function useJobAction() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: ({ id, action }: { readonly id: string; readonly action: 'cancel' | 'retry' | 'delete' }) =>
      action === 'delete' ? ask(`/v1/jobs/${id}`, { method: 'DELETE' }) : ask(`/v1/jobs/${id}/${action}`, { method: 'POST' }),
    onSettled: () => client.invalidateQueries({ queryKey: ['jobs'] }),
  })
}

export const uploadFile = (file: Blob): Promise<StoredFile> => ask<StoredFile>('/v1/files', { method: 'POST', body: file })

const addresses = new Map<string, { readonly url: string; readonly until: number }>()

/**
 * A file's address. The server gives another each time, which holds for an hour: the first is kept as long as it does, so that a browser
 * loads a picture once.
 */
export function addressOf({ file, url }: Pick<MadeFile, 'file' | 'url'>): string {
  const known = addresses.get(file)
  const now = Date.now()
  if (known && known.until > now) return known.url
  const expires = Number(new URLSearchParams(url.split('?')[1]).get('expires'))
  addresses.set(file, { url, until: expires - 300_000 })
  return url
}

/** A name to save a picture under: of letters and digits, whatever the prompt is. */
export function fileName(job: Job, file: MadeFile): string {
  const prompt = typeof job.options.prompt === 'string' ? job.options.prompt : job.model
  const words = prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
  const ending = file.type.split('/')[1]?.replace('jpeg', 'jpg') ?? 'png'
  return `${[...words.slice(0, 8), file.seed ?? ''].join('-').replace(/-$/, '').slice(0, 80) || 'picture'}.${ending}`
}
