import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { arange, input } from '../../../core/tensor.ts'
import { sampleBatch } from '../../../data/index.ts'
import { betaSchedule, GaussianDiffusion } from '../../../diffusion/index.ts'
import { contrastiveLoss } from '../../../models/clip/index.ts'
import { glideClipConfig, glideClipImage, glideClipText } from '../../../models/glide/index.ts'
import { Params } from '../../../nn/params.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { ClipTokenizer, unescapeText } from '../../../text/index.ts'
import { scenesSchema } from '../../data.ts'
import { trainingScenes } from '../../held-out.ts'
import type { RecipeType } from '../../recipe.ts'
import { trainedModel } from '../../stored.ts'
import { spreadTimes } from '../text-to-image/noise.ts'
import { saveGlideConfig, saveGlideWeights, startFolder } from './folder.ts'

/** A CLIP of noisy pictures. Fields of the network are those of its `config.yaml`. */
export const noisedClipSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().default(64),
  network: z.record(z.string(), z.unknown()).default({}),
  /** The CLIP whose tokenizer reads captions: its folder or name. */
  clip: z.string().default('stickers-clip'),
  /** A trained GLIDE that the finished folder is to have, by its folder or name: the CLIP guides it. */
  glide: z.string().optional(),
  /** Pictures at every level of noise; false: clean ones alone, which guide worse. */
  noised: z.boolean().default(true),
})

/** GLIDE's noised CLIP (Nichol et al. 2021, section 2.4): contrastive, of pictures at all levels of the diffusion's noise. */
export const noisedClipType: RecipeType<typeof noisedClipSchema> = {
  name: 'glide-clip',
  summary: 'texts and noisy pictures in one space, to guide GLIDE',
  schema: noisedClipSchema,
  training: { train_batch_size: 64, learning_rate: 1e-3, lr_warmup_steps: 100, adam_beta2: 0.98, ema_decay: 0.995 },
  async job(recipe, { batchSize: B, seed }) {
    const { data, resolution: size } = recipe
    const dataset = await trainingScenes(data, { size, seed })
    const vocabulary = trainedModel(recipe.clip)
    const tokenizer = ClipTokenizer.open(vocabulary)
    const before = recipe.glide === undefined ? undefined : trainedModel(recipe.glide)
    const length = tokenizer.maxLength
    const config = glideClipConfig(
      { logit_scale: 30, max_text_len: length, ...recipe.network, image_size: size, n_vocab: tokenizer.size },
      'network',
    )
    const { n_timesteps: steps, max_text_len: most, beta_schedule: schedule } = config
    const process = new GaussianDiffusion(betaSchedule(schedule, { steps }))

    const params = new Params()
    const seen = glideClipImage(params.at('image'), config)(input('x', [B, 3, size, size]), input('t', [B], 'i64'))
    const said = glideClipText(params.at('text'), config)(input('tokens', [B, most], 'i64'), input('end', [B], 'i64'))
    const logits = seen.matmul(said.transpose(1, 0)).mul(config.logit_scale)
    const recall = logits.argmax(1).eq(arange(B, 'i64')).cast('f32').mean()
    const whole = (values: readonly number[], shape: readonly number[]) =>
      new NdArray(BigInt64Array.from(values, BigInt), shape, 'i64')

    return {
      task: {
        params,
        loss: contrastiveLoss(logits),
        metrics: { recall },
        async batch(generator) {
          const { images, captions } = await sampleBatch(dataset, generator, B)
          const times = recipe.noised ? spreadTimes(generator, steps, B) : Array<number>(B).fill(0)
          const ids = captions.map((one) => [
            tokenizer.start,
            ...tokenizer.encode(unescapeText(one)).slice(0, most - 2),
            tokenizer.end,
          ])
          const padded = ids.flatMap((one) => [...one, ...Array<number>(most - one.length).fill(0)])
          return {
            x: recipe.noised ? process.addNoise(images, generator.randn(images.shape), times) : images,
            t: whole(times, [B]),
            tokens: whole(padded, [B, most]),
            end: whole(
              ids.map((one) => one.length - 1),
              [B],
            ),
          }
        },
      },
      save(weights, dir) {
        startFolder(dir, before)
        for (const side of ['image', 'text'] as const) {
          const own = [...weights].filter(([key]) => key.startsWith(`${side}.`))
          saveGlideWeights(dir, `clip_${side}_enc`, new Map(own.map(([key, value]) => [key.slice(side.length + 1), value])))
        }
        saveGlideConfig(dir, 'clip', config)
        for (const name of ['vocab.json', 'merges.txt', 'special_tokens_map.json', 'tokenizer_config.json'])
          if (existsSync(join(vocabulary, name))) cpSync(join(vocabulary, name), join(dir, 'clip_tokenizer', name))
      },
    }
  },
}
