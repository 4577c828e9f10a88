import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { saveModel } from '../../../checkpoints/index.ts'
import { input } from '../../../core/tensor.ts'
import { t5, t5Config } from '../../../models/t5/index.ts'
import { Params } from '../../../nn/params.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { type ScoredPiece, saveT5Tokenizer, T5Tokenizer, trainUnigram } from '../../../text/index.ts'
import { scenesSchema } from '../../data.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { crossEntropy } from '../classifier.ts'
import { networkFields } from '../clip.ts'
import { corruptedTexts } from './batch.ts'
import { heldOutTexts, textSources, textsOf } from './texts.ts'

/** A T5 of texts and its tokenizer. Fields of the network are transformers'; those of the vocabulary come from the tokenizer. */
export const t5RecipeSchema = z.object({
  /** Scenes whose captions are read. */
  data: scenesSchema,
  /** How often texts come from each source. */
  sources: z.record(z.enum(textSources), z.number().min(0)).default({ captions: 4, names: 1, files: 0 }),
  /** Text files of one's own, for the source `files`. */
  files: z.array(z.string()).default([]),
  tokenizer: z
    .strictObject({
      /** Texts that the pieces are learnt from. */
      texts: z.int().positive().default(20_000),
      /** Pieces at most. */
      size: z.int().positive().default(2048),
      /** Tokens of a padded text, its end included. */
      max_length: z.int().min(4).default(32),
    })
    .prefault({}),
  network: z.record(z.string(), z.unknown()).default({}),
  /** The share of tokens that are cut out, and how many of them one after another. */
  noise_density: z.number().positive().lt(1).default(0.15),
  mean_noise_span_length: z.number().min(1).default(3),
})

const HELD_OUT = 256

/** A text-to-text transformer, trained by span corruption (Raffel et al. 2020; v1.1: Shazeer 2020). */
export const t5Type: RecipeType<typeof t5RecipeSchema> = {
  name: 't5',
  summary: 'an encoder and a decoder of texts, which tell what was cut out',
  schema: t5RecipeSchema,
  training: {
    train_batch_size: 64,
    max_train_steps: 2000,
    learning_rate: 1e-3,
    lr_warmup_steps: 100,
    adam_weight_decay: 0,
    ema_decay: 0.998,
    checkpointing_steps: 250,
    validation_steps: 250,
  },
  async job({ data, sources, files, tokenizer: made, network: fields, ...noise }, { batchSize, seed }) {
    const draw = await textsOf({ data, sources, files, seed })
    const reading = new Generator(seed)
    const pieces = trainUnigram(
      positionsFrom(0, made.texts).map(() => draw(reading)),
      { size: made.size },
    )
    const tokenizer = opened(pieces, made.max_length)
    const numbers = { pad_token_id: tokenizer.pad, eos_token_id: tokenizer.end, decoder_start_token_id: tokenizer.pad }
    const own = { feed_forward_proj: 'gated-gelu', tie_word_embeddings: false, ...fields, vocab_size: tokenizer.size, ...numbers }
    const config = t5Config(own, 'network')

    const params = new Params()
    const { encode, decode, logits } = t5(params, config)
    const long = made.max_length
    const { answer, batch: batchOf } = corruptedTexts(tokenizer, long, noise)
    const given = (name: string, length: number) => input(name, [batchSize, length], 'i64')
    const mask = given('mask', long)
    const states = encode(given('source', long), mask)
    const found = logits(decode(given('before', answer), { context: states, contextMask: mask }))
    const rows = found.reshape([batchSize * answer, config.vocab_size])
    const labels = input('labels', [batchSize * answer], 'i64')
    const counts = input('counts', [batchSize * answer])
    const loss = crossEntropy(rows, labels, counts)
    const right = rows.argmax(1).eq(labels).cast('f32')
    const accuracy = right.mul(counts).sum().div(counts.sum())

    return {
      task: {
        params,
        loss,
        metrics: { accuracy },
        // Rows of a table of its own, as long as the states: the first logits are then about 1.
        ...(config.tie_word_embeddings ? {} : { start: startingHead(config, seed) }),
        async batch(generator) {
          return batchOf(
            positionsFrom(0, batchSize).map(() => draw(generator)),
            generator,
          )
        },
      },
      validation: {
        names: ['loss_phrasings', 'accuracy_phrasings'],
        async measure(weights) {
          const texts = await heldOutTexts(data, HELD_OUT)
          const program = await compile({ outputs: { loss, accuracy }, weights })
          const sums = [0, 0]
          const batches = Math.max(1, Math.floor(texts.length / batchSize))
          for (let i = 0; i < batches; i++) {
            const own = positionsFrom(i * batchSize, batchSize).map((at) => texts[at % texts.length] as string)
            const { loss, accuracy } = await program.run(batchOf(own, new Generator(i)))
            for (const [k, value] of [loss, accuracy].entries())
              sums[k] = (sums[k] as number) + (value?.item() as number) / batches
          }
          await program.release()
          return { loss_phrasings: sums[0] as number, accuracy_phrasings: sums[1] as number }
        },
      },
      save(weights, dir) {
        const { model_type, ...rest } = config
        const fields = {
          architectures: ['T5ForConditionalGeneration'],
          is_encoder_decoder: true,
          model_type,
          ...networkFields(rest),
        }
        saveModel(dir, fields, weights, { dtype: 'f16' })
        saveT5Tokenizer(dir, pieces, { maxLength: long })
      },
    }
  },
}

function startingHead({ vocab_size: V, d_model: D }: { vocab_size: number; d_model: number }, seed: number) {
  return new Map([['lm_head.weight', new Generator(seed).randn([V, D]).mul(D ** -0.5)]])
}

/** The tokenizer that a folder would give. */
function opened(pieces: readonly ScoredPiece[], maxLength: number): T5Tokenizer {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-tokenizer-'))
  try {
    saveT5Tokenizer(dir, pieces, { maxLength })
    return T5Tokenizer.open(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}
