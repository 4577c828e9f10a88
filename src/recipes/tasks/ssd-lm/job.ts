import { z } from 'zod'
import { saveModel } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { input } from '../../../core/tensor.ts'
import { almostOneHot, simplexNoise, spreadTimes } from '../../../diffusion/index.ts'
import { type RobertaConfig, ssdLm, ssdLmConfig } from '../../../models/index.ts'
import { Params } from '../../../nn/params.ts'
import { simplexPlaces } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { endOfDocument, saveLanguageTokenizer } from '../../../text/index.ts'
import type { RecipeType } from '../../recipe.ts'
import { crossEntropy } from '../classifier.ts'
import { corpusOf, drawWindows, windowStarts, windowsAt } from '../language/data.ts'
import { languageFields, languageTraining } from '../language/job.ts'
import { samplesOf } from '../language/samples.ts'

/** SSD-LM of texts. Fields of the network are RoBERTa's; those of the vocabulary come from the texts. */
export const ssdLmSchema = z.object({
  ...languageFields,
  /** Tokens that are decoded together. */
  block_size: z.int().positive().default(16),
  /** K of the almost one-hot logits: by it a clean token's share of the simplex is e^2K / (e^2K + V − 1). */
  one_hot_value: z.number().positive().default(5),
})

/** Shares of time at which held-out texts are measured. */
const measured = [0.25, 0.5, 0.75] as const

/** Diffusion on the simplex, block after block: Han et al. 2023, Algorithm 1. */
export const ssdLmType: RecipeType<typeof ssdLmSchema> = {
  name: 'ssd-lm',
  summary: 'texts in blocks by diffusion on the simplex (SSD-LM)',
  schema: ssdLmSchema,
  training: languageTraining,
  async job(recipe, { batchSize: B, preview }) {
    const { data, tokenizer, length: L, block_size: N, one_hot_value: K, network: given, validation_prompts: prompts } = recipe
    if (N >= L) throw new ArgumentError(`block_size: blocks of ${N} leave no place for what comes before in ${L} tokens`)
    const { vocabulary, train, validation, bytes, fingerprint } = await corpusOf(data, tokenizer)
    const end = vocabulary.vocab[endOfDocument] as number
    const sizes = { hidden_size: 160, num_hidden_layers: 5, num_attention_heads: 5, intermediate_size: 640, ...given }
    const own = { ...sizes, vocab_size: bytes.length, pad_token_id: 0, bos_token_id: end, max_position_embeddings: L + 1 }
    const config: RobertaConfig = ssdLmConfig({ ...own, block_size: N, one_hot_value: K }, 'network')
    const [M, V] = [L - N, config.vocab_size]
    const params = new Params()
    const places = { positions: input('positions', [L], 'i64'), mask: input('mask', [1, 1, L, L]) }
    const symbols = { context: input('context', [B, M], 'i64'), x: input('x', [B, N, V]), t: input('t', [B]) }
    const logits = ssdLm(params, config)(symbols, places)
    const loss = crossEntropy(logits.reshape([B * N, V]), input('labels', [B * N], 'i64'))

    /** What is fed of windows i64 [B, L], whose last N tokens are noised and of the others `seen` are shown. */
    const feeds = (windows: NdArray<'i64'>, seen: number, times: readonly number[], generator: Generator) => {
      const [before, block] = [windows.slice(1, M - seen, M), windows.slice(1, M, L)].map((x) => x.cast('i64')) as [
        NdArray<'i64'>,
        NdArray<'i64'>,
      ]
      const { positions, mask } = simplexPlaces(Array<number>(seen).fill(0), { M, N, pad: 0 })
      const empty = new NdArray(new BigInt64Array(B * (M - seen)), [B, M - seen], 'i64')
      const context = seen === M ? before : NdArray.concat([empty, before], 1)
      const x = simplexNoise(almostOneHot(block, V, K), generator.randn([B, N, V]), times, K)
      return { context, positions, mask, x, t: NdArray.from([...times]), labels: block.reshape([B * N]) }
    }
    const save = (weights: ReadonlyMap<string, NdArray>, dir: string) => {
      saveModel(dir, { architectures: ['SSDLM'], model_type: 'roberta', ...config }, weights, { dtype: 'f16' })
      saveLanguageTokenizer(dir, vocabulary, { maxLength: L })
    }
    return {
      unit: 'text',
      task: {
        params,
        loss,
        data: fingerprint,
        async batch(generator) {
          const windows = drawWindows(train, [B, L], generator)
          const seen = Number(generator.randint(1, M + 1, [1]).data[0])
          return feeds(windows, seen, spreadTimes(generator, B), generator)
        },
      },
      validation: {
        names: measured.map((t) => `loss_${100 * t}`),
        async measure(weights) {
          const program = await compile({ outputs: { loss }, weights })
          const generator = new Generator(0)
          const starts = windowStarts(validation, L, 4 * B)
          const found: Record<string, number> = {}
          for (const t of measured) {
            let sum = 0
            const batches = Math.max(1, Math.floor(starts.length / B))
            for (let i = 0; i < batches; i++) {
              const rows = Array.from({ length: B }, (_, k) => starts[(i * B + k) % starts.length] as number)
              const out = await program.run(feeds(windowsAt(validation, rows, L), M, Array<number>(B).fill(t), generator))
              sum += (out.loss as NdArray).item() / batches
            }
            found[`loss_${100 * t}`] = sum
          }
          await program.release()
          return found
        },
      },
      write: (weights) => samplesOf((dir) => save(weights, dir), { prompts, ...preview }),
      save,
    }
  },
}
