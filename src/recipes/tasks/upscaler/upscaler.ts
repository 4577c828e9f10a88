import { z } from 'zod'
import { saveModel } from '../../../checkpoints/index.ts'
import { input } from '../../../core/tensor.ts'
import { encodePng, imageGrid, resize } from '../../../images/index.ts'
import { perceptualDistance } from '../../../models/classifier/index.ts'
import { rrdbNet, rrdbNetConfig } from '../../../models/rrdbnet/index.ts'
import { srvggConfig, srvggNet } from '../../../models/srvgg/index.ts'
import { swinIr, swinIrConfig } from '../../../models/swinir/index.ts'
import type { Layer } from '../../../nn/layers.ts'
import { Params } from '../../../nn/params.ts'
import { loadAutoencoder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import type { Generator } from '../../../runtime/random.ts'
import type { LaterStage, Objective } from '../../../training/index.ts'
import { scenesOf, scenesSchema } from '../../data.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { frozenClassifier, trainedModel, valuesIn } from '../../stored.ts'
import { adversarialSchema, adversarialStage, DISCRIMINATOR } from './adversarial.ts'
import { cropPair, joined, type Pairs, pairPool, type Source, sources, sourcesSchema } from './pairs.ts'

const networks = {
  SwinIR: (p: Params, fields: unknown) => networkOf(swinIr, swinIrConfig(fields, 'network'), p),
  RRDBNet: (p: Params, fields: unknown) => networkOf(rrdbNet, rrdbNetConfig(fields, 'network'), p),
  SRVGGNetCompact: (p: Params, fields: unknown) => networkOf(srvggNet, srvggConfig(fields, 'network'), p),
}
const networkOf = <C extends object>(build: (p: Params, config: C) => Layer, config: C, p: Params) => ({
  config,
  network: build(p, config),
})

/** A network that enlarges stickers. */
export const upscalerSchema = z.object({
  data: scenesSchema,
  /** Pixels a side of the small pictures. */
  resolution: z.int().positive().default(64),
  scale: z.int().min(2).default(4),
  /** Pixels a side of the parts of small pictures that one step sees. */
  patch: z.int().positive().default(32),
  /** The network's class, by the name of its reference implementation, and its arguments. */
  network: z.looseObject({ _class_name: z.enum(['SwinIR', 'RRDBNet', 'SRVGGNetCompact']) }),
  /** A trained network of the same fields to start from, by its folder or name. */
  pretrained: z.string().optional(),
  /** How many scenes are learnt from: as many parts of each as there are steps. */
  pool: z.int().positive().default(1024),
  /** How often small pictures come from each source. */
  sources: sourcesSchema,
  /** The folder or name of the autoencoder whose pictures are enlarged. */
  autoencoder: z.string().default('stickers-vae'),
  /** Compares pictures by a classifier's layers too; not unless its weight is above 0. */
  perceptual: z
    .strictObject({ classifier: z.string().default('sticker-classifier-32'), weight: z.number().min(0).default(0) })
    .prefault({}),
  /** Learns sharpened pictures, as Real-ESRGAN does from photographs; the discriminator sees them as they are. */
  sharpen: z.boolean().default(false),
  /** A last stage against a discriminator. */
  adversarial: adversarialSchema.optional(),
})

/**
 * Super-resolution by regression: the mean absolute error of Liang et al. 2021 (eq. 8), with a perceptual distance where asked for; then,
 * where asked for, against a discriminator (Wang et al. 2021, section 3.4).
 */
export const upscalerType: RecipeType<typeof upscalerSchema> = {
  name: 'upscaler',
  summary: 'a network that enlarges pictures',
  schema: upscalerSchema,
  training: {
    train_batch_size: 8,
    max_train_steps: 3000,
    learning_rate: 5e-4,
    lr_warmup_steps: 50,
    adam_weight_decay: 0,
    ema_decay: 0.998,
    checkpointing_steps: 100,
    validation_steps: 250,
  },
  async job(recipe, { batchSize, seed }) {
    const { data, resolution: size, scale, patch, network: fields, sources: weights, perceptual, adversarial } = recipe
    const dataset = await scenesOf(data, { size, seed })
    const autoencoder = loadAutoencoder(trainedModel(recipe.autoencoder), { batch: 1, threads: 1 })
    const pairs = pairPool({ ...dataset, size, scale, autoencoder, seed, sharpen: recipe.sharpen })
    const heldOut = await scenesOf(data, { size, seed: seed + 1, split: 'icons' })
    const heldOutPairs = pairPool({ ...heldOut, size, scale, autoencoder, seed: seed + 1 })

    const params = new Params()
    const { _class_name: className } = fields
    const { config, network } = networks[className](params, fields)
    const start = recipe.pretrained === undefined ? undefined : valuesIn(trainedModel(recipe.pretrained), params)
    const small = input('small', [batchSize, 3, patch, patch])
    const large = input('large', [batchSize, 3, patch * scale, patch * scale])
    const made = network(small)
    const aim = recipe.sharpen ? input('sharp', large.shape) : large
    const l1 = made.sub(aim).abs().mean()
    const squared = made.sub(large).square().mean()
    const psnr = squared.log().mul(-10 / Math.LN10)
    const eyes = perceptual.weight > 0 ? frozenClassifier(trainedModel(perceptual.classifier), patch * scale) : undefined
    const signed = (x: typeof made) => x.mul(2).sub(1)
    const seen = eyes && perceptualDistance(eyes(signed(made)).maps, eyes(signed(aim)).maps)
    const metrics = { psnr, l1, ...(seen && { perceptual: seen }) }
    const error = seen ? l1.add(seen.mul(perceptual.weight)) : l1
    const stage = adversarial && adversarialStage({ params, config: adversarial, made, real: large, error, metrics })
    // Before a discriminator comes, the network learns the mean absolute error alone.
    const { loss, metrics: reported, ...stages } = stagesOf({ loss: stage ? l1 : error, metrics }, stage)
    const own = (values: ReadonlyMap<string, NdArray>) =>
      new Map([...values].filter(([key]) => !key.startsWith(`${DISCRIMINATOR}.`)))

    return {
      task: {
        params,
        loss,
        metrics: reported,
        ...stages,
        ...(start && { start }),
        async batch(generator) {
          const all: Pairs[] = []
          while (all.length < batchSize) {
            const pair = await pairs(generator.bits() % recipe.pool, sourceOf(weights, generator))
            all.push(cropPair(pair, patch, scale, generator))
          }
          return { ...joined(all) }
        },
      },
      validation: {
        names: sources.map((source) => `psnr_${source}`),
        async measure(values) {
          const found: Record<string, number> = {}
          for (const source of sources) {
            const { large, made } = await enlarged(recipe, own(values), await someOf(heldOutPairs, 12, source))
            found[`psnr_${source}`] = psnrOf(made, large)
          }
          return found
        },
      },
      async preview(values) {
        const source = sources.reduce((most, other) => ((weights[other] ?? 0) > (weights[most] ?? 0) ? other : most))
        const shown = await enlarged(recipe, own(values), await someOf(heldOutPairs, 6, source))
        const side = size * scale
        const bicubic = resize(shown.small, { width: side, height: side, kernel: 'bicubic', range: [0, 1] })
        const rows = [bicubic, shown.made, shown.large].map((x) => x.map((value) => value * 2 - 1))
        return encodePng(imageGrid(NdArray.concat(rows), { columns: 6 }))
      },
      save: (values, dir) => saveModel(dir, { _class_name: className, ...config }, own(values), { dtype: 'f16' }),
    }
  },
}

/** An objective and the stage that takes over from it, or takes its place from the first step on. */
function stagesOf(first: Omit<Objective, 'params'>, stage: LaterStage | undefined) {
  if (stage?.from !== 1) return { ...first, ...(stage && { later: [stage] }) }
  const { from: _, ...only } = stage
  return only
}

/** A source, by the weights of all. */
function sourceOf(weights: Readonly<Partial<Record<Source, number>>>, generator: Generator): Source {
  const all = sources.map((source) => [source, weights[source] ?? 0] as const)
  let left = (generator.bits() / 2 ** 32) * all.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [source, weight] of all) {
    left -= weight
    if (left < 0) return source
  }
  return 'bicubic'
}

/** The first pictures of a pool. */
async function someOf(pairs: ReturnType<typeof pairPool>, count: number, source: Source): Promise<Pairs> {
  const all: Pairs[] = []
  for (const position of positionsFrom(0, count)) all.push(await pairs(position, source))
  return joined(all)
}

/** Pictures enlarged by the network, one at a time. */
async function enlarged(
  { resolution: size, network: fields }: z.infer<typeof upscalerSchema>,
  weights: ReadonlyMap<string, NdArray>,
  { small, large }: Pairs,
) {
  const { network } = networks[fields._class_name](new Params(), fields)
  const program = await compile({ outputs: { made: network(input('small', [1, 3, size, size])) }, weights }, {})
  try {
    const made: NdArray<'f32'>[] = []
    for (let i = 0; i < (small.shape[0] as number); i++)
      made.push((await program.run({ small: small.slice(0, i, i + 1) })).made as NdArray<'f32'>)
    return { small, large, made: NdArray.concat(made).clamp(0, 1) }
  } finally {
    await program.release()
  }
}

/** The mean of the pictures' peak signal-to-noise ratios in decibels, of values in [0, 1]. */
function psnrOf(made: NdArray<'f32'>, large: NdArray<'f32'>): number {
  const errors = made
    .sub(large)
    .square()
    .mean({ axes: [1, 2, 3] })
  return errors
    .map((error) => -10 * Math.log10(error))
    .mean()
    .item()
}
