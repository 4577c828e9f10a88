import { z } from 'zod'
import { saveModel } from '../../checkpoints/index.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { labelsOf } from '../../data/dataset.ts'
import { backgroundNames, type ComposedScene, sampleBatch, styles } from '../../data/index.ts'
import { type DetectorConfig, detector, detectorConfig } from '../../models/detector/index.ts'
import { Params } from '../../nn/params.ts'
import { createDetector } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { scenesOf, scenesSchema } from '../data.ts'
import { addTallies, type Fact, scoreScene } from '../evaluation/scoring.ts'
import { trainingScenes } from '../held-out.ts'
import { positionsFrom } from '../positions.ts'
import type { RecipeType } from '../recipe.ts'
import { crossEntropy } from './classifier.ts'

/** A judge of scenes. Fields of the network are its config's, but for the size and the classes, which the data give. */
export const judgeSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().default(64),
  network: z.record(z.string(), z.unknown()).default({}),
})

/** Learns what scenes show and where, to judge pictures that a model draws. */
export const judgeType: RecipeType<typeof judgeSchema> = {
  name: 'judge',
  summary: 'a detector of what sticker scenes show, to judge models by',
  schema: judgeSchema,
  training: {
    train_batch_size: 32,
    learning_rate: 1e-3,
    lr_warmup_steps: 200,
    adam_weight_decay: 0.01,
    ema_decay: 0.998,
  },
  async job({ data, resolution: size, network }, { batchSize, seed }) {
    const dataset = await trainingScenes(data, { size, seed })
    const heads: Record<string, string[]> = { ground: [...backgroundNames], style: [...styles] }
    const config = detectorConfig({ ...network, sample_size: size, classes: dataset.classes, heads })
    const numbers = new Map(config.classes.map((name, i) => [name, i]))
    const side = size / 4
    const cells = [batchSize, side, side]

    const params = new Params()
    const out = detector(params, config)(input('images', [batchSize, 3, size, size]))
    const [heat, here, sizes] = [input('heat', cells), input('here', cells), input('sizes', cells)]
    const classes = input('classes', cells, 'i64')
    const rows = batchSize * side * side
    const centre = focalLoss(out.centres, heat, here)
    const ofClass = crossEntropy(
      out.classes.reshape([rows, config.classes.length]),
      classes.reshape([rows]),
      here.reshape([rows]),
    )
    const extent = out.sizes.sub(sizes).abs().mul(here).sum().div(here.sum())
    const whole = Object.keys(heads).map((head) => crossEntropy(out.logits[head] as Tensor, input(head, [batchSize], 'i64')))
    const right = out.classes.argmax().eq(classes).cast('f32').mul(here).sum().div(here.sum())

    return {
      task: {
        params,
        loss: [ofClass, extent, ...whole].reduce((sum, one) => sum.add(one), centre),
        metrics: { centre, kind: ofClass, extent, right },
        async batch(generator) {
          const { images, scenes } = await sampleBatch(dataset, generator, batchSize)
          const labels = Object.entries(heads).map(([head, names]) => {
            const answers = scenes.map((scene) => names.indexOf(head === 'ground' ? scene.background : scene.style))
            return [head, labelsOf(answers)] as const
          })
          return { images, ...targetsOf(scenes, side, numbers), ...Object.fromEntries(labels) }
        },
      },
      validation: {
        names: Object.keys(columns),
        async measure(weights) {
          const judge = createDetector({ config, weights })
          const held = await scenesOf(data, { size, seed: seed + 1, split: 'phrasings' })
          const { images, scenes, details } = await held.batch(positionsFrom(0, 256))
          const { found } = await judge.detect(images)
          await judge.release()
          const all = addTallies(
            found.map((finding, i) => scoreScene(scenes[i] as ComposedScene, details[i]?.described, finding)),
          )
          return Object.fromEntries(
            Object.entries(columns).map(([column, fact]) => [column, all[fact].right / Math.max(1, all[fact].asked)]),
          )
        },
      },
      save: (weights, dir) => saveJudge(dir, config, weights),
    }
  },
}

/** Columns of `validation.csv`, with what each measures. */
const columns: Readonly<Record<string, Fact>> = {
  object: 'object',
  count: 'count',
  ground: 'background',
  style: 'style',
  relation: 'relation',
  place: 'position',
}

const saveJudge = (dir: string, config: DetectorConfig, weights: ReadonlyMap<string, NdArray>): void =>
  saveModel(dir, { _class_name: 'CentreDetector', ...config }, weights, { dtype: 'f16' })

/**
 * The penalty-reduced focal loss of cells (Zhou et al. 2019, eq. 1): logits, heat (1 at centres, falling off around them) and
 * centres, all [B, G, G].
 */
function focalLoss(logits: Tensor, heat: Tensor, here: Tensor): Tensor {
  const p = logits.sigmoid()
  // ln p = −softplus(−x), ln(1 − p) = −softplus(x).
  const hit = p.neg().add(1).square().mul(logits.neg().softplus()).mul(here)
  const miss = p.square().mul(heat.neg().add(1).square().square()).mul(logits.softplus()).mul(here.neg().add(1))
  return hit.add(miss).sum().div(here.sum())
}

/** What the detector should find: for each cell the heat, whether a centre lies there, of what class and what size (its logarithm). */
export function targetsOf(scenes: readonly ComposedScene[], side: number, numbers: ReadonlyMap<string, number>) {
  const shape = [scenes.length, side, side]
  const [heat, here, sizes] = [NdArray.zeros(shape), NdArray.zeros(shape), NdArray.zeros(shape)]
  const classes = NdArray.zeros(shape, 'i64')
  for (const [b, { objects }] of scenes.entries())
    for (const { icon, x, y, size } of objects) {
      const [column, row] = [x, y].map((at) => Math.min(side - 1, Math.floor(at * side))) as [number, number]
      const cell = (b * side + row) * side + column
      here.data[cell] = 1
      sizes.data[cell] = Math.log(size)
      classes.data[cell] = BigInt(numbers.get(icon.name) as number)
      const spread = 2 * Math.max(0.6, (size * side) / 12) ** 2
      for (let v = 0; v < side; v++)
        for (let u = 0; u < side; u++) {
          const near = Math.exp(-((u - column) ** 2 + (v - row) ** 2) / spread)
          const at = (b * side + v) * side + u
          heat.data[at] = Math.max(heat.data[at] as number, near)
        }
    }
  return { heat, here, sizes, classes }
}
