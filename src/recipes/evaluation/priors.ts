import { join } from 'node:path'
import { readTensor } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import { openEmbeddingCodes, openNetwork, storedIn } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { recipeFile } from '../../training/history.ts'
import { type ScenesConfig, scenesOf } from '../data.ts'
import { positionsFrom } from '../positions.ts'
import { trainedModel } from '../stored.ts'
import { autoregressiveDrawer } from '../tasks/unclip/ar-prior.ts'
import { openClipEmbedder } from '../tasks/unclip/clip-embedder.ts'
import { diffusionDrawer, unclipPriorSchema, unclipPriorType } from '../tasks/unclip/prior.ts'
import { type EmbeddingDrawer, type EmbeddingQuality, priorQuality } from '../tasks/unclip/prior-quality.ts'
import { bootstrapRates, type Rate } from './bootstrap.ts'
import type { PartQuality } from './part-quality.ts'

/** Pictures among which the own one is looked for, and how many are measured at most. */
const [CROWD, MOST] = [64, 128]
/** Of the diffusion prior. */
const STEPS = 12
const SEED = 20_000

/** How near what a prior draws for captions is to the pictures' own embeddings, beside the captions' embeddings and the mean picture's. */
export async function measurePrior(
  folder: string,
  num: number,
  data: ScenesConfig,
  engine: CompileOptions,
): Promise<PartQuality> {
  const { recipe, clip: name } = unclipPriorSchema.loose().parse(readJson(join(folder, recipeFile)))
  const clip = openClipEmbedder(trainedModel(name))
  const { drawer, mean } = await (recipe === unclipPriorType.name ? ofDiffusion : ofCodes)(join(folder, 'prior'))
  const count = Math.max(CROWD, Math.min(num, MOST) - (Math.min(num, MOST) % CROWD))
  const splits = ['phrasings', 'pairs'] as const
  const found: Record<'prior' | 'text' | 'mean', EmbeddingQuality>[] = []
  for (const split of splits) {
    const dataset = await scenesOf(data, { size: clip.side, seed: SEED, split })
    const parts: (typeof found)[number][] = []
    for (let from = 0; from < count; from += CROWD)
      parts.push(await priorQuality(clip, drawer, await dataset.batch(positionsFrom(from, CROWD)), mean))
    const averaged = (of: 'prior' | 'text' | 'mean'): EmbeddingQuality => {
      const over = (value: (one: EmbeddingQuality) => number) =>
        parts.reduce((sum, part) => sum + value(part[of]), 0) / parts.length
      return { cosine: over((one) => one.cosine), first: over((one) => one.first) }
    }
    found.push({ prior: averaged('prior'), text: averaged('text'), mean: averaged('mean') })
  }
  await drawer.release()
  const cosines = (of: 'prior' | 'text' | 'mean') => found.map((one) => one[of].cosine)
  const firsts = (of: 'prior' | 'text') => found.map((one) => shareOf(Math.round(one[of].first * count), count))
  return {
    num: count,
    splits,
    rows: [
      { name: "cosine to the picture's embedding, of what the prior draws", unit: '', values: cosines('prior') },
      { name: "of the caption's own embedding", unit: '', values: cosines('text') },
      { name: 'of the mean of all pictures', unit: '', values: cosines('mean') },
      { name: 'the own picture is nearest of 64 to what the prior draws (chance 1.6 %)', unit: 'share', values: firsts('prior') },
      { name: "to the caption's own embedding", unit: 'share', values: firsts('text') },
    ],
  }

  async function ofDiffusion(dir: string): Promise<{ drawer: EmbeddingDrawer; mean: NdArray<'f32'> }> {
    const { config, weights } = openNetwork(storedIn(dir, ['PriorTransformer']))
    const value = weights.get('clip_mean')
    const mean = (value instanceof NdArray ? value : readTensor(value as never)).cast('f32')
    return { drawer: await diffusionDrawer({ clip, config, weights }, { steps: STEPS, engine }), mean }
  }

  async function ofCodes(dir: string): Promise<{ drawer: EmbeddingDrawer; mean: NdArray<'f32'> }> {
    const { config, weights } = openNetwork(storedIn(dir, ['AutoregressivePrior']))
    const codes = openEmbeddingCodes(dir, config)
    return { drawer: autoregressiveDrawer({ config, weights, codes }, { engine }), mean: codes.mean }
  }
}

const shareOf = (right: number, asked: number): Rate =>
  bootstrapRates(
    ['all'],
    positionsFrom(0, asked).map((i) => ({ all: { right: Number(i < right), asked: 1 } })),
    new Generator(0),
  ).all
