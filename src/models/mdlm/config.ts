import { z } from 'zod'
import { ModelConfigError, parseTransformersConfig } from '../config.ts'

const count = z.int().positive()

/** Fields of the `config.json` of MDLM and BD3-LM that decide the network, with their defaults (models/hf of bd3lms, 1c3e8f4). */
export const mdlmSchema = z.object({
  model_type: z.enum(['mdlm', 'bd3lm', 'sedd', 'ar']).default('mdlm'),
  /** With the mask, which is the last. */
  vocab_size: count.default(50258),
  model_length: count.default(1024),
  hidden_dim: count.default(768),
  /** Width of the condition that modulates the blocks. */
  cond_dim: count.default(128),
  n_blocks: count.default(12),
  n_heads: count.default(12),
  /** Whether the network is told the noise level; without it all levels are 0, and the condition is a learnt constant. */
  time_conditioning: z.boolean().default(false),
  /** BD3-LM: tokens of one block, which are made together, given the blocks before. */
  block_size: count.optional(),
  /** SEDD: logits are scores times e^σ − 1, the same for all tokens. */
  scale_by_sigma: z.boolean().default(false),
  adaln: z.literal(true).default(true),
  causal: z.boolean().default(false),
})
export type MdlmConfig = Readonly<z.infer<typeof mdlmSchema>>

/** @param place what errors call it. @throws ModelConfigError with every fault */
export function mdlmConfig(fields: unknown, place = 'MDLM'): MdlmConfig {
  const config = parseTransformersConfig('MDLM', mdlmSchema, fields, place)
  const fault = (field: string, message: string) => new ModelConfigError(place, [{ field, message }])
  if (config.hidden_dim % (2 * config.n_heads) !== 0)
    throw fault('n_heads', `${config.n_heads} heads do not divide a width of ${config.hidden_dim} into even parts`)
  if (config.block_size !== undefined && config.model_length % config.block_size !== 0)
    throw fault('block_size', `blocks of ${config.block_size} do not fill ${config.model_length} tokens`)
  return config
}

/** SEDD's published configs, which nest what others have flat. @throws ModelConfigError */
export function seddConfig(fields: unknown, place = 'SEDD'): MdlmConfig {
  const schema = z.object({
    tokens: count,
    graph: z.object({ type: z.enum(['absorb', 'uniform']) }),
    model: z.object({
      hidden_size: count,
      cond_dim: count,
      length: count,
      n_blocks: count,
      n_heads: count,
      scale_by_sigma: z.boolean(),
    }),
  })
  const read = schema.safeParse(fields)
  if (!read.success)
    throw new ModelConfigError(
      place,
      read.error.issues.map(({ path, message }) => ({ field: path.join('.'), message })),
    )
  const { tokens, graph, model } = read.data
  return mdlmConfig(
    {
      model_type: 'sedd',
      vocab_size: tokens + (graph.type === 'absorb' ? 1 : 0),
      model_length: model.length,
      hidden_dim: model.hidden_size,
      cond_dim: model.cond_dim,
      n_blocks: model.n_blocks,
      n_heads: model.n_heads,
      scale_by_sigma: model.scale_by_sigma,
      time_conditioning: true,
    },
    place,
  )
}

/** A config as SEDD's folders have it. */
export function asSeddConfig(config: MdlmConfig) {
  const { vocab_size, model_length: length, hidden_dim: hidden_size, cond_dim, n_blocks, n_heads, scale_by_sigma } = config
  const model = { hidden_size, cond_dim, length, n_blocks, n_heads, scale_by_sigma }
  return { tokens: vocab_size - 1, graph: { type: 'absorb' }, model }
}
