import { z } from 'zod'
import { saveModel } from '../../checkpoints/index.ts'
import { arange, input, type Tensor } from '../../core/tensor.ts'
import { labelsOf } from '../../data/dataset.ts'
import { backgroundNames, backgroundOf, type Scene, type SceneObject, sampleBatch, stickerDataset } from '../../data/index.ts'
import { classifier, classifierConfig } from '../../models/classifier/index.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { stickersSchema } from '../data.ts'
import type { RecipeType } from '../recipe.ts'

/** What a head can be asked of a sticker. */
const questions = ['icon', 'category', 'style', 'ground'] as const
type Question = (typeof questions)[number]

/** A classifier of stickers. Fields of the network are its config's, but for the size and the classes, which the data give. */
export const classifierRecipeSchema = z.object({
  data: stickersSchema,
  resolution: z.int().positive().default(32),
  network: z.record(z.string(), z.unknown()).default({}),
  heads: z.array(z.enum(questions)).min(1).default(['icon', 'ground']),
})

/** What a picture shows, as its labels have it. */
export function answers(scene: Scene): Record<Question, string> {
  const { icon, style } = scene.objects[0] as SceneObject
  return { icon: icon.name, category: icon.category, style, ground: backgroundOf(scene) }
}

/** Cross-entropy, in nats, averaged by weights [B], all 1 unless given: logits [B, classes], labels i64 [B] → []. */
export function crossEntropy(logits: Tensor, labels: Tensor, weights?: Tensor): Tensor {
  const { shape } = logits
  const hit = labels
    .unsqueeze(1)
    .eq(arange(shape[1] as number, 'i64'))
    .cast('f32')
  const each = logits.logSoftmax().mul(hit).sum(1).neg()
  return weights ? each.mul(weights).sum().div(weights.sum()) : each.mean()
}

/** Learns what stickers show; every head's cross-entropy counts the same. */
export const classifierType: RecipeType<typeof classifierRecipeSchema> = {
  name: 'classifier',
  summary: 'a classifier of stickers, whose features compare pictures',
  schema: classifierRecipeSchema,
  training: {
    train_batch_size: 64,
    max_train_steps: 1000,
    learning_rate: 2e-3,
    lr_warmup_steps: 100,
    adam_weight_decay: 0.05,
    ema_decay: 0.99,
    checkpointing_steps: 250,
  },
  async job({ data, resolution, network, heads }, { batchSize, seed }) {
    const dataset = await stickerDataset({ size: resolution, styles: data.styles, categories: data.categories, seed })
    const classes = {
      icon: dataset.icons.map(({ name }) => name),
      category: data.categories,
      style: data.styles,
      ground: backgroundNames,
    }
    const asked = Object.fromEntries(heads.map((head) => [head, [...classes[head]]]))
    const config = classifierConfig({ ...network, sample_size: resolution, heads: asked })
    const numbers = heads.map((head) => [head, new Map(asked[head]?.map((name, i) => [name, i]))] as const)

    const params = new Params()
    const { logits } = classifier(params, config)(input('images', [batchSize, 3, resolution, resolution]))
    const labels = heads.map((head) => [head, input(head, [batchSize], 'i64')] as const)
    const each = labels.map(([head, label]) => crossEntropy(logits[head] as Tensor, label))
    const right = labels.map(([head, label]) => {
      const hits = (logits[head] as Tensor).argmax().eq(label).cast('f32')
      return [`${head}_accuracy`, hits.mean()] as const
    })

    return {
      task: {
        params,
        loss: each.reduce((sum, one) => sum.add(one)),
        metrics: Object.fromEntries(right),
        async batch(generator): Promise<Record<string, NdArray>> {
          const { images, scenes } = await sampleBatch(dataset, generator, batchSize)
          const told = scenes.map(answers)
          const found = numbers.map(([head, of]) => [head, labelsOf(told.map((one) => of.get(one[head]) as number))] as const)
          return { images, ...Object.fromEntries(found) }
        },
      },
      save: (weights, dir) => saveModel(dir, { _class_name: 'ResidualClassifier', ...config }, weights, { dtype: 'f16' }),
    }
  },
}
