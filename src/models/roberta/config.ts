import { z } from 'zod'
import { ModelConfigError, parseTransformersConfig } from '../config.ts'

const count = z.int().positive()

/** Fields of RoBERTa's `config.json` that decide the network, with transformers' defaults. */
export const robertaSchema = z.object({
  vocab_size: count.default(50265),
  hidden_size: count.default(768),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(12),
  intermediate_size: count.default(3072),
  hidden_act: z.literal('gelu').default('gelu'),
  /** Positions count from the padding token's number + 1. */
  max_position_embeddings: count.default(514),
  type_vocab_size: count.default(1),
  layer_norm_eps: z.number().positive().default(1e-5),
  pad_token_id: z.int().min(0).default(1),
  bos_token_id: z.int().min(0).default(0),
  /** SSD-LM: the value K of almost one-hot logits. */
  one_hot_value: z.number().positive().default(5),
  /** SSD-LM: tokens that are decoded together. */
  block_size: count.default(25),
  /** What a classifier tells apart, by number. */
  id2label: z.record(z.string(), z.string()).default({}),
})
export type RobertaConfig = Readonly<z.infer<typeof robertaSchema>>

/** @param place what errors call it. @throws ModelConfigError with every fault */
export function robertaConfig(fields: unknown, place = 'RoBERTa'): RobertaConfig {
  const config = parseTransformersConfig('RoBERTa', robertaSchema, fields, place)
  const fault = (field: string, message: string) => new ModelConfigError(place, [{ field, message }])
  if (config.hidden_size % config.num_attention_heads !== 0)
    throw fault('num_attention_heads', `${config.num_attention_heads} heads do not divide a width of ${config.hidden_size}`)
  return config
}

/** The same for SSD-LM, which needs a place before its blocks. @throws ModelConfigError */
export function ssdLmConfig(fields: unknown, place = 'SSD-LM'): RobertaConfig {
  const config = robertaConfig(fields, place)
  const [block, most] = [config.block_size, mostTokens(config)]
  if (block < most) return config
  const message = `a block of ${block} leaves no place for what comes before in ${most} tokens`
  throw new ModelConfigError(place, [{ field: 'block_size', message }])
}

/** Tokens that a network has positions for. */
export const mostTokens = ({ max_position_embeddings: most, pad_token_id: pad }: RobertaConfig): number => most - pad - 1

/** What a classifier tells apart, in the order of its logits. */
export const labelsOfClassifier = ({ id2label }: RobertaConfig): string[] =>
  Object.entries(id2label)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, label]) => label)
