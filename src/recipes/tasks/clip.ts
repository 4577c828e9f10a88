import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { saveModel } from '../../checkpoints/index.ts'
import { writeJson } from '../../checkpoints/json.ts'
import { arange, input } from '../../core/tensor.ts'
import { type SceneDataset, sampleBatch } from '../../data/index.ts'
import { type ClipConfig, clip, clipConfig, clipPixels, contrastiveLoss } from '../../models/clip/index.ts'
import { Params } from '../../nn/params.ts'
import { type Clip, clipNormalised, createClip, framed } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type BytePairs, ClipTokenizer, saveTokenizer, trainBytePairs } from '../../text/index.ts'
import { scenesOf, scenesSchema } from '../data.ts'
import { trainingScenes } from '../held-out.ts'
import { positionsFrom } from '../positions.ts'
import type { RecipeType } from '../recipe.ts'

/** A CLIP of scenes and its tokenizer. Fields of the network are transformers'; those of the vocabulary come from the tokenizer. */
export const clipRecipeSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().default(64),
  tokenizer: z
    .strictObject({
      /** Captions that the byte pairs are learnt from. */
      captions: z.int().positive().default(10_000),
      /** Tokens at most. */
      size: z.int().positive().default(2048),
      /** Tokens of a padded caption. */
      max_length: z.int().min(3).default(32),
    })
    .prefault({}),
  text: z.record(z.string(), z.unknown()).default({}),
  vision: z.record(z.string(), z.unknown()).default({}),
  projection_dim: z.int().positive().default(128),
})

/** Contrastive language and image pre-training: Radford et al. 2021, figure 3. */
export const clipType: RecipeType<typeof clipRecipeSchema> = {
  name: 'clip',
  summary: 'texts and pictures in one space',
  schema: clipRecipeSchema,
  training: {
    train_batch_size: 128,
    learning_rate: 1e-3,
    lr_warmup_steps: 200,
    adam_beta2: 0.98,
    adam_epsilon: 1e-6,
    adam_weight_decay: 0,
    ema_decay: 0.998,
  },
  async job({ data, resolution: size, tokenizer: made, text, vision, projection_dim }, { batchSize, seed }) {
    const dataset = await trainingScenes(data, { size, seed })
    const pairs = trainBytePairs(
      positionsFrom(0, made.captions).map((at) => dataset.captionAt(at).text),
      { size: made.size },
    )
    const tokenizer = opened(pairs, made.max_length)
    const numbers = { bos_token_id: tokenizer.start, eos_token_id: tokenizer.end, pad_token_id: tokenizer.pad }
    const textFields = {
      ...text,
      ...numbers,
      vocab_size: tokenizer.size,
      max_position_embeddings: made.max_length,
      projection_dim,
    }
    const visionFields = { ...vision, image_size: size, projection_dim }
    const config = clipConfig({ text_config: textFields, vision_config: visionFields, projection_dim }, 'clip')

    const params = new Params()
    const network = clip(params, config, { maxScale: 100 })
    const tokens = input('tokens', [batchSize, made.max_length], 'i64')
    const { logits } = network(tokens, clipNormalised(input('images', [batchSize, 3, size, size])))
    const right = logits.argmax(1).eq(arange(batchSize, 'i64')).cast('f32').mean()

    return {
      task: {
        params,
        loss: contrastiveLoss(logits),
        metrics: { recall: right },
        async batch(generator) {
          const { images, captions } = await sampleBatch(dataset, generator, batchSize)
          return { images, tokens: framed(tokenizer, captions) }
        },
      },
      validation: {
        names: heldOut.map((split) => `recall_${split}`),
        async measure(weights) {
          const model = createClip({ config, weights, tokenizer })
          const found: Record<string, number> = {}
          for (const split of heldOut)
            found[`recall_${split}`] = await recallAt1(model, await scenesOf(data, { size, seed: seed + 1, split }), 256)
          await model.release()
          return found
        },
      },
      save: (weights, dir) => saveClip(dir, { config, text: textFields, vision: visionFields, pairs, weights }),
    }
  },
}

/** Captions in wordings that training does not use; pairs of objects that it never shows together. */
const heldOut = ['phrasings', 'pairs'] as const

/** The tokenizer that a folder would give. */
function opened(pairs: BytePairs, maxLength: number): ClipTokenizer {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-tokenizer-'))
  try {
    saveTokenizer(dir, pairs, { maxLength })
    return ClipTokenizer.open(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const CROWD = 64

/** The share of pictures whose own caption fits them best of 64: `count` pictures, a multiple of 64. */
export async function recallAt1(model: Clip, dataset: SceneDataset, count: number): Promise<number> {
  let right = 0
  for (let from = 0; from < count; from += CROWD) {
    const { images, captions } = await dataset.batch(positionsFrom(from, CROWD))
    const [pictures, texts] = [await model.embedImages(images), await model.embedTexts(captions)]
    right += rightRows(pictures, texts)
  }
  return right / count
}

/** How many rows of the one [N, D] have their greatest product with the same row of the other. */
export function rightRows(pictures: NdArray<'f32'>, texts: NdArray<'f32'>): number {
  const [count, width] = pictures.shape as [number, number]
  const product = (i: number, j: number) => {
    let sum = 0
    for (let k = 0; k < width; k++) sum += (pictures.data[i * width + k] as number) * (texts.data[j * width + k] as number)
    return sum
  }
  const rows = positionsFrom(0, count)
  return rows.filter((i) => rows.every((j) => j === i || product(i, i) > product(i, j))).length
}

/** A config's fields but for what only starts a network: transformers takes this number as 1.0, which JSON from here cannot write. */
export const networkFields = <C extends { initializer_factor: number }>({ initializer_factor: _, ...fields }: C) => fields

interface ClipModelParts {
  readonly config: ClipConfig
  readonly text: Readonly<Record<string, unknown>>
  readonly vision: Readonly<Record<string, unknown>>
  readonly pairs: BytePairs
  readonly weights: ReadonlyMap<string, NdArray>
}

/** A folder that transformers' CLIPModel, CLIPTokenizer and CLIPImageProcessor load. */
function saveClip(dir: string, { config, text, vision, pairs, weights }: ClipModelParts): void {
  const { projection_dim, logit_scale_init_value } = config
  const fields = {
    architectures: ['CLIPModel'],
    model_type: 'clip',
    projection_dim,
    logit_scale_init_value,
    text_config: { ...text, ...networkFields(config.text_config), model_type: 'clip_text_model' },
    vision_config: { ...vision, ...networkFields(config.vision_config), model_type: 'clip_vision_model' },
  }
  saveModel(dir, fields, weights, { dtype: 'f16' })
  saveTokenizer(dir, pairs, { maxLength: config.text_config.max_position_embeddings })
  const size = config.vision_config.image_size
  writeJson(join(dir, 'preprocessor_config.json'), {
    image_processor_type: 'CLIPImageProcessor',
    do_center_crop: true,
    do_normalize: true,
    do_resize: true,
    crop_size: { height: size, width: size },
    size: { shortest_edge: size },
    image_mean: [...clipPixels.mean],
    image_std: [...clipPixels.std],
    resample: 3,
  })
}
