import type { Job, MadeFile } from '../api/types.ts'
import { createStore } from '../store.ts'

/** A picture with the job that made it. */
export interface Item {
  readonly key: string
  readonly job: Job
  readonly file: MadeFile
}

export const itemsOf = (jobs: readonly Job[]): Item[] =>
  jobs.flatMap((job) => (job.result?.files ?? []).map((file, i) => ({ key: `${job.id} ${i}`, job, file })))

/** Keys of pictures that this browser's user likes. */
export const favourites = createStore<readonly string[]>([], 'langevin.favourites')

export const toggleFavourite = (key: string): void =>
  favourites.set((now) => (now.includes(key) ? now.filter((one) => one !== key) : [...now, key]))

/** Jobs that are about to be deleted, and are not shown until that is undone. */
export const leaving = createStore<readonly string[]>([])

/** Whether all words are in the prompt, the model's name or the settings. */
export function matches({ job, file }: Item, words: string): boolean {
  const text = `${file.prompt ?? ''} ${Object.values(job.options).join(' ')} ${job.model} ${file.seed ?? ''}`.toLowerCase()
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word))
}
