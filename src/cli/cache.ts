import { z } from 'zod'
import { cacheLimit, isCacheOff } from '../runtime/node/cache.ts'
import { packStore } from '../runtime/node/pack-store.ts'
import { defineCommand, printResult } from './command.ts'

interface Kept {
  /** Where packed weights are kept; null where they are not. */
  readonly folder: string | null
  /** Bytes that they may take. */
  readonly limit: number
  readonly bytes: number
  /** The least recently used first. */
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly used: string; readonly weights: number }[]
  /** Bytes that were removed, by `clear`. */
  readonly removed?: number
}

export const cache = defineCommand({
  name: 'cache',
  summary: 'packed weights that are kept on disk: show them, or clear them',
  description:
    'Weights that a kernel wants in another layout are packed once and kept on disk, so that a model opens faster the next time and processes share them. Prints where they lie, how large they are and when each file was last used; "clear" removes them. LANGEVIN_CACHE chooses the folder, LANGEVIN_CACHE=off keeps nothing, LANGEVIN_CACHE_LIMIT is the limit in GB (20), at which the least recently used files go.',
  positional: ['action'],
  options: z.object({
    action: z.enum(['clear']).optional().meta({ description: 'removes all packed weights' }),
    json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
  }),
  examples: [
    ['langevin cache', 'what is kept'],
    ['langevin cache clear', 'removes it'],
  ],
  run({ action, json }, io) {
    const store = packStore()
    const before = total(store?.files() ?? [])
    if (action === 'clear') store?.clear()
    const files = (store?.files() ?? []).map(({ used, ...file }) => ({ ...file, used: used.toISOString() }))
    const bytes = total(files)
    const folder = store?.folder ?? null
    const removed = action === 'clear' ? { removed: before - bytes } : {}
    printResult(io, json, { folder, limit: cacheLimit(), bytes, files, ...removed }, inWords)
  },
})

const total = (files: readonly { readonly bytes: number }[]) => files.reduce((sum, { bytes }) => sum + bytes, 0)
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

function inWords({ folder, limit, bytes, files, removed }: Kept): string {
  if (folder === null)
    return isCacheOff() ? 'LANGEVIN_CACHE is off: nothing is kept' : 'the cache folder cannot be written: nothing is kept'
  const rows = files.map((file) => `${file.path}  ${megabytes(file.bytes)}  ${file.weights} weights, last used ${file.used}`)
  return [
    ...(removed === undefined ? [] : [`removed ${megabytes(removed)}`]),
    `${folder}: ${megabytes(bytes)} of packed weights; the limit is ${megabytes(limit)}`,
    ...rows,
  ].join('\n')
}
