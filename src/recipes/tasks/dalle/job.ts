import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { input } from '../../../core/tensor.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import { dalle, dalleConfig, dalleLoss, lengthsOf, paperFields, textInput } from '../../../models/dalle/index.ts'
import { DVAE_FACTOR } from '../../../models/dvae/index.ts'
import { Params } from '../../../nn/params.ts'
import { createCaptionBatches, tokenCoder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { bytePairEncoder, ClipTokenizer } from '../../../text/index.ts'
import { scenesSchema } from '../../data.ts'
import { heldOutSet, trainingScenes } from '../../held-out.ts'
import type { RecipeType } from '../../recipe.ts'
import { trainedModel } from '../../stored.ts'
import { tokenPool } from '../latents/pool.ts'
import { fixedPrompts } from '../text-to-image/fixed-prompts.ts'
import { saveDalle, storedDiscreteAutoencoder } from './folder.ts'

/** The transformer of DALL·E, with the paper's layers. Fields of the network are DALLE-pytorch's. */
export const dalleRecipeSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().multipleOf(DVAE_FACTOR).default(64),
  /** Folders or names of what is trained before: the autoencoder, and the CLIP whose tokenizer reads the captions and which ranks pictures. */
  dvae: z.string().default('stickers-dvae'),
  clip: z.string().default('stickers-clip'),
  /** `dim`, `depth`, `heads`, `dim_head`, `text_seq_len`; whatever else is given replaces what the paper has. */
  transformer: z.looseObject({ depth: z.int().positive() }),
  /** The probability by which a merge of byte pairs is left out: the paper's by default (appendix B.1). */
  bpe_dropout: z.number().min(0).lt(1).default(0.1),
  /** The share of captions that are left out, for guidance. */
  condition_dropout: z.number().min(0).max(1).default(0.1),
  /** Scenes whose tokens are kept: each is seen again and again, with other captions. */
  pool: z.int().positive().default(16_384),
  /** What grids of samples show, in place of the fixed prompts. */
  validation_prompts: z.array(z.string()).min(1).optional(),
})

/** The second stage of DALL·E: Ramesh et al. 2021, section 2.2 and appendix B. */
export const dalleType: RecipeType<typeof dalleRecipeSchema> = {
  name: 'dalle',
  summary: 'a transformer of captions and image tokens: DALL·E 1',
  schema: dalleRecipeSchema,
  training: {
    train_batch_size: 32,
    optimizer: 'muon',
    learning_rate: 2e-3,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    adam_beta2: 0.96,
    adam_weight_decay: 0.045,
    ema_decay: 0.997,
  },
  async job(recipe, { batchSize, seed, preview }) {
    const { data, resolution: size, transformer, bpe_dropout: rate, condition_dropout: dropout } = recipe
    const dvae = storedDiscreteAutoencoder(trainedModel(recipe.dvae))
    const tokenizer = ClipTokenizer.open(trainedModel(recipe.clip))
    const config = dalleConfig(
      {
        ...paperFields(transformer.depth),
        ...transformer,
        num_text_tokens: tokenizer.size,
        num_image_tokens: dvae.config.vocab_size,
        image_fmap_size: size / DVAE_FACTOR,
      },
      'transformer',
    )
    const { text: words, image: cells } = lengthsOf(config)
    const dataset = await trainingScenes(data, { size, seed })
    const params = new Params()
    const network = dalle(params, config)
    const [text, image] = [input('text', [batchSize, words], 'i64'), input('image', [batchSize, cells], 'i64')]
    const losses = dalleLoss(network, config, text, image)
    const encode = bytePairEncoder(tokenizer.pairs)
    const pool = tokenPool({
      images: async (positions) => (await dataset.batch(positions)).images,
      dvae,
      count: recipe.pool,
      stamp: { data, size, seed },
    })
    const integers = (rows: readonly (readonly number[])[]) =>
      new NdArray(BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0]?.length ?? 0], 'i64')
    const plain = (captions: readonly string[]) =>
      integers(captions.map((caption) => textInput(tokenizer.encode(caption), config)))
    const partsOf = (weights: ReadonlyMap<string, NdArray>) => ({ transformer: { config, weights }, dvae, tokenizer })

    /** Tokens of held-out scenes, and their captions. */
    const heldOut = async () => {
      const { scenes, captions, render } = await heldOutSet(data, 'validation', { size, count: batchSize })
      if (captions.length < batchSize)
        throw new ArgumentError(`dalle: batches of ${batchSize}; there are ${captions.length} held-out scenes`)
      const coder = tokenCoder(dvae)
      const tokens = await coder.encode(render(scenes))
      await coder.release()
      return { image: tokens.reshape([batchSize, cells]), captions }
    }
    let known: ReturnType<typeof heldOut> | undefined

    return {
      task: {
        params,
        loss: losses.loss,
        metrics: { bits: losses.image.div(Math.LN2), text: losses.text },
        async batch(generator) {
          const positions = Array.from(generator.randint(0, recipe.pool, [batchSize]).data, Number)
          const captions = positions.map((at) => dataset.captionAt(at, generator.bits()).text)
          const left = generator.rand([batchSize]).data
          const uniform = () => generator.bits() / 2 ** 32
          const texts = captions.map((caption, i) =>
            textInput((left[i] as number) < dropout ? [] : encode(caption, { rate, uniform }), config),
          )
          return { text: integers(texts), image: (await pool(positions)).reshape([batchSize, cells]) }
        },
      },
      validation: {
        names: ['bits', 'bits_shuffled', 'bits_untold'],
        async measure(weights) {
          known ??= heldOut()
          const { image, captions } = await known
          const told = {
            bits: captions,
            bits_shuffled: [...captions.slice(1), ...captions.slice(0, 1)],
            bits_untold: captions.map(() => ''),
          }
          const program = await compile({ outputs: { nats: losses.image }, weights })
          const found: Record<string, number> = {}
          for (const [name, texts] of Object.entries(told))
            found[name] = ((await program.run({ text: plain(texts), image })).nats?.item() as number) / Math.LN2
          await program.release()
          return found
        },
      },
      async preview(weights) {
        const batches = createCaptionBatches(partsOf(weights))
        const prompts = (recipe.validation_prompts ?? fixedPrompts).slice(0, preview?.num)
        const pictures = await batches.generate(prompts, { guidance: 1, seed: 0 })
        await batches.release()
        return encodePng(imageGrid(pictures, { columns: Math.min(8, prompts.length) }))
      },
      save: (weights, dir) => saveDalle(dir, partsOf(weights), recipe.clip),
    }
  },
}
