import { z } from 'zod'
import { saveModel } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { input } from '../../../core/tensor.ts'
import type { TextDocument } from '../../../data/index.ts'
import { pick } from '../../../diffusion/index.ts'
import { labelsOfClassifier, robertaClassifier, robertaConfig } from '../../../models/index.ts'
import { Params } from '../../../nn/params.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { endOfDocument, saveLanguageTokenizer } from '../../../text/index.ts'
import type { RecipeType } from '../../recipe.ts'
import { crossEntropy } from '../classifier.ts'
import { documentRows } from '../language/data.ts'
import { languageFields, languageTraining } from '../language/job.ts'

const { data, tokenizer, network } = languageFields

/** What of texts a classifier tells. Fields of the network are RoBERTa's. */
export const textClassifierSchema = z.object({
  ...{ data, tokenizer, network },
  /** Tokens that it reads at once: as many as a block that it guides. */
  length: z.int().positive().default(16),
  /** What is told, as `party`. */
  attribute: z.string(),
  /** Of numbers: where one label ends and the next begins. `[1900]` tells `before-1900` from `from-1900`. */
  edges: z.array(z.number()).default([]),
})

/** A number's label among those that edges make. */
function between(value: number, edges: readonly number[]): string {
  const above = edges.filter((edge) => value >= edge)
  const [from, to] = [above.at(-1), edges[above.length]]
  if (from === undefined) return `before-${to}`
  return to === undefined ? `from-${from}` : `${from}-${to - 1}`
}

/** A classifier of texts, which guides an SSD-LM of the same vocabulary. */
export const textClassifierType: RecipeType<typeof textClassifierSchema> = {
  name: 'text-classifier',
  summary: 'what texts are about or who wrote them, told from a few words: guides SSD-LM',
  schema: textClassifierSchema,
  training: languageTraining,
  async job({ data, tokenizer, network: given, length: N, attribute, edges }, { batchSize: B }) {
    const labelOf = ({ attributes }: TextDocument): string | undefined => {
      const value = attributes[attribute]
      return typeof value === 'number' && edges.length > 0
        ? between(value, edges)
        : value === undefined
          ? undefined
          : String(value)
    }
    const { vocabulary, bytes, train, validation } = await documentRows(data, tokenizer, (one) => labelOf(one))
    const long = (rows: typeof train) => rows.filter(({ row, label }) => label !== undefined && row.length >= N)
    const [learnt, held] = [long(train), long(validation)]
    const labels = [...new Set(learnt.map(({ label }) => label as string))].sort()
    if (labels.length < 2)
      throw new ArgumentError(
        `attribute: texts of ${N} tokens have ${labels.length} kinds of ${attribute}; two or more can be told apart`,
      )
    const id2label = Object.fromEntries(labels.map((label, i) => [String(i), label]))
    const sizes = { hidden_size: 96, num_hidden_layers: 2, num_attention_heads: 4, intermediate_size: 192, ...given }
    const own = { ...sizes, vocab_size: bytes.length, pad_token_id: 0, max_position_embeddings: N + 1, id2label }
    const config = robertaConfig({ ...own, bos_token_id: vocabulary.vocab[endOfDocument] }, 'network')
    const params = new Params()
    const { embed, classify } = robertaClassifier(params, config)
    const logits = classify(embed(input('tokens', [B, N], 'i64')))
    const answer = input('labels', [B], 'i64')
    const loss = crossEntropy(logits, answer)
    const accuracy = logits.argmax(1).eq(answer).cast('f32').mean()
    const groups = (rows: typeof train) => labels.map((label) => rows.filter((one) => one.label === label))
    /** Every label comes as often as the others, and of its texts every place. */
    const batchOf = (all: ReturnType<typeof groups>, generator: Generator) => {
      const known = [...all.keys()].filter((label) => (all[label] as typeof train).length > 0)
      const uniform = () => generator.bits() / 2 ** 32
      const chosen = Array.from({ length: B }, () => known[Math.floor(uniform() * known.length)] as number)
      const tokens = chosen.flatMap((label) => {
        const texts = all[label] as typeof train
        const { row } = texts[
          pick(
            texts.map((one) => one.row.length - N + 1),
            uniform(),
          )
        ] as (typeof train)[number]
        const start = Math.floor(uniform() * (row.length - N + 1))
        return [...row.subarray(start, start + N)]
      })
      const integers = (values: readonly number[], shape: readonly number[]) =>
        new NdArray(BigInt64Array.from(values, BigInt), shape, 'i64')
      return { tokens: integers(tokens, [B, N]), labels: integers(chosen, [B]) }
    }
    const [fromTrain, fromHeld] = [groups(learnt), groups(held)]
    return {
      unit: 'text',
      task: { params, loss, metrics: { accuracy }, batch: async (generator) => batchOf(fromTrain, generator) },
      ...(held.length > 0 && {
        validation: {
          names: ['loss_held_out', 'accuracy_held_out'],
          async measure(weights: ReadonlyMap<string, NdArray>) {
            const program = await compile({ outputs: { loss, accuracy }, weights })
            const sums = [0, 0]
            for (let i = 0; i < 16; i++) {
              const out = await program.run(batchOf(fromHeld, new Generator(i)))
              for (const [k, value] of [out.loss, out.accuracy].entries())
                sums[k] = (sums[k] as number) + (value as NdArray).item() / 16
            }
            await program.release()
            return { loss_held_out: sums[0] as number, accuracy_held_out: sums[1] as number }
          },
        },
      }),
      save(weights, dir) {
        const fields = { architectures: ['RobertaForSequenceClassification'], model_type: 'roberta', ...config }
        const label2id = Object.fromEntries(labelsOfClassifier(config).map((label, i) => [label, i]))
        saveModel(dir, { ...fields, label2id }, weights, { dtype: 'f16' })
        saveLanguageTokenizer(dir, vocabulary, { maxLength: N })
      },
    }
  },
}
