import type { HubOptions } from '../../checkpoints/index.ts'
import type { Pipeline, Ranker } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { UsageError } from '../errors.ts'
import type { Options } from './options.ts'
import type { Entry, Made } from './write.ts'

export interface Keeping {
  /** How many pictures are kept. */
  readonly keep: number
  /** Whether they become one picture. */
  readonly grid: boolean
}

export interface Ranking {
  /** A run's pictures, the best first, with what says so. */
  best(made: Made, prompt: string, keeping: Keeping): Promise<Made>
  release(): Promise<void>
}

/** What `--candidates` asks for, its CLIP opened when the first pictures are there; undefined for nothing. @throws UsageError */
export function ranking(
  { candidates, rank, threads, device, tokenizer }: Options,
  { ranker: own, place }: Pipeline,
  { signal, hub }: { readonly signal: AbortSignal; readonly hub: HubOptions },
): Ranking | undefined {
  if (candidates === undefined) {
    if (rank !== undefined) throw new UsageError('--rank: there is no --candidates')
    return undefined
  }
  const name = rank ?? own
  if (name === undefined)
    throw new UsageError(`--candidates: ${place} names no CLIP that ranks its pictures: give one with --rank`)
  // Opened before the pictures are made, so that a wrong name is told at once.
  const opening: Promise<Ranker> = import('../../pipelines/index.ts').then(({ loadRanker }) =>
    loadRanker(name, { hub, tokenizer, ...(threads !== undefined && { threads }), ...(device !== 'cpu' && { device }) }),
  )
  opening.catch(() => undefined)
  return {
    async best(made, prompt, keeping) {
      const { result } = made
      if (result.type !== 'pictures') throw new UsageError(`--candidates: a run made ${result.type}, and CLIP ranks pictures`)
      const { rankPictures } = await import('../../pipelines/index.ts')
      const ranker = await opening
      const { order, scores } = await rankPictures(ranker, prompt, result.pictures, signal)
      const kept = order.slice(0, keeping.keep)
      const pictures = NdArray.concat(kept.map((k) => result.pictures.slice(0, k, k + 1)))
      const shared = { Candidates: order.length, 'Ranked by': ranker.name }
      const score = (k: number) => Number((scores[k] as number).toFixed(4))
      const ofGrid = { ...shared, 'CLIP scores': kept.map(score).join(' '), 'Candidate order': kept.join(' ') }
      const entries = (at: number, size: string): Entry => {
        const k = kept[at] as number
        const entry = made.entries(keeping.grid ? 0 : k, size)
        return { ...entry, settings: { ...entry.settings, ...(keeping.grid ? ofGrid : { ...shared, 'CLIP score': score(k) }) } }
      }
      return { result: { type: 'pictures', pictures }, entries }
    },
    release: async () => (await opening.catch(() => undefined))?.release(),
  }
}

/** How many pictures a run makes. @throws UsageError where the model makes none from a prompt, or more are to be kept than are made */
export function candidatesOf(
  { className, output, schema }: Pipeline,
  taken: Readonly<Record<string, unknown>>,
  given: Options,
): number {
  const candidates = given.candidates as number
  if (output !== 'pictures' || !('prompt' in schema.shape) || !('num' in schema.shape))
    throw new UsageError(`--candidates: a ${className} makes no pictures from a prompt, which is what CLIP compares them with`)
  if (typeof taken.prompt !== 'string' || taken.prompt === '')
    throw new UsageError('--candidates: there is no prompt to compare the pictures with')
  if (taken.wildcards !== undefined)
    throw new UsageError('--candidates: every picture must have the same prompt: leave out --wildcards and --choices')
  const { num = 1 } = taken as { readonly num?: number }
  if (num > candidates) throw new UsageError(`--num: ${num} of ${candidates} candidates`)
  return candidates
}
