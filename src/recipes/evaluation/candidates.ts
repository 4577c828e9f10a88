import type { ComposedScene } from '../../data/index.ts'
import { loadDetector, loadRanker, rankPictures } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { heldOutSet } from '../held-out.ts'
import { trainedModel } from '../stored.ts'
import type { Rate } from './bootstrap.ts'
import { openCaptionSampler } from './sampler.ts'
import { ratesOf, scoreScene, type Tally } from './scoring.ts'
import { asLargeAs, type TextToImageContext } from './text-to-image.ts'

/** How often the candidate that CLIP finds best is exact. */
export interface CandidateQuality {
  readonly captions: number
  readonly ranker: string
  /** Of the first so many candidates of each caption. */
  readonly points: readonly { readonly candidates: number; readonly exact: Rate; readonly object: Rate }[]
}

export interface CandidateOptions {
  readonly guidance: number
  readonly steps: number
  readonly seed: number
  readonly batch: number
  readonly judge: string
  readonly rank: string
  /** Candidates at most. */
  readonly most: number
}

/**
 * Reranking (Ramesh et al. 2021, section 2.6 and figure 6): of each test caption candidates are sampled, and of the first 1, 2, 4 … of them
 * the one that CLIP finds best is judged.
 */
export async function measureCandidates(
  model: string,
  count: number,
  { guidance, steps, seed, batch, judge: judgeName, rank, most }: CandidateOptions,
  { data, engine = {}, signal, onStep }: Omit<TextToImageContext, 'name'>,
): Promise<CandidateQuality> {
  const judge = loadDetector(trainedModel(judgeName), engine)
  const ranker = await loadRanker(trainedModel(rank), engine)
  const sampler = await openCaptionSampler(model, { batch, ...engine })
  const size = judge.config.sample_size
  const { captions, scenes, details } = await heldOutSet(data, 'test', { size, count })
  const numbers = Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, i) => 2 ** i).filter((n) => n < most)
  numbers.push(most)
  const tallies = numbers.map((): Tally[] => [])
  try {
    for (const [i, caption] of captions.entries()) {
      signal?.throwIfAborted()
      const same = Array.from({ length: most }, () => caption)
      const pictures = asLargeAs(size, await sampler.generate(same, { steps, guidance, seed: seed + i * most, signal }))
      const { scores } = await rankPictures(ranker, caption, pictures, signal)
      const best = numbers.map((n) =>
        scores.slice(0, n).reduce((top, score, k) => (score > (scores[top] as number) ? k : top), 0),
      )
      const { found } = await judge.detect(NdArray.concat(best.map((k) => pictures.slice(0, k, k + 1))))
      for (const [at, finding] of found.entries())
        tallies[at]?.push(scoreScene(scenes[i] as ComposedScene, details[i]?.described, finding))
      onStep?.({ stage: `${most} candidates of each caption`, done: i + 1, total: captions.length })
    }
  } finally {
    await sampler.release()
    await ranker.release()
    await judge.release()
  }
  const points = numbers.map((candidates, at) => {
    const { exact, object } = ratesOf(tallies[at] as Tally[])
    return { candidates, exact, object }
  })
  return { captions: captions.length, ranker: ranker.name, points }
}
