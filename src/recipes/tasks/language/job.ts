import { z } from 'zod'
import { saveModel } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { type MaskScheduleName, maskSchedules } from '../../../diffusion/index.ts'
import { asSeddConfig, type MdlmConfig, mdlm, mdlmConfig } from '../../../models/index.ts'
import { Params } from '../../../nn/params.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { saveLanguageTokenizer } from '../../../text/index.ts'
import type { TrainingJob } from '../../../training/run.ts'
import type { JobContext, RecipeType, TrainingFlags } from '../../recipe.ts'
import { corpusOf, drawWindows, textsSchema } from './data.ts'
import { textBits } from './measure.ts'
import { blockObjective, causalObjective, maskedObjective, type TextObjective } from './objectives.ts'
import { samplesOf } from './samples.ts'

const scheduleNames = Object.keys(maskSchedules) as [MaskScheduleName, ...MaskScheduleName[]]

/** Texts, their vocabulary and the network. Fields of the network are MDLM's; those of the vocabulary come from the texts. */
export const languageFields = {
  data: textsSchema,
  tokenizer: z
    .strictObject({
      /** Tokens at most: bytes, what they are merged into, and the end of a text. */
      size: z.int().min(257).max(65_000).default(2048),
    })
    .prefault({}),
  /** Tokens of a text that is learnt at once. */
  length: z.int().positive().default(128),
  network: z.record(z.string(), z.unknown()).default({}),
  /** What samples in the run's folder begin with. */
  validation_prompts: z.array(z.string()).min(1).default(['']),
}
type Fields = z.infer<z.ZodObject<typeof languageFields>>

export const languageTraining: TrainingFlags = {
  train_batch_size: 32,
  optimizer: 'muon',
  learning_rate: 3e-3,
  lr_scheduler: 'warmup_stable_decay',
  lr_warmup_steps: 50,
  adam_weight_decay: 0.01,
  ema_decay: 0.99,
  checkpointing_steps: 250,
  validation_steps: 250,
}

const schedule = z.enum(scheduleNames).default('loglinear')

/** Masked diffusion of texts. */
export const mdlmType = languageType({
  name: 'mdlm',
  summary: 'texts by masked diffusion (MDLM)',
  schema: z.object({ ...languageFields, schedule }),
  network: () => ({ model_type: 'mdlm' }),
  objective: (config, recipe) => maskedObjective(config, maskSchedules[recipe.schedule]),
})

/** Score entropy: absorbing discrete diffusion by ratios. */
export const seddType = languageType({
  name: 'sedd',
  summary: 'texts by scores of an absorbing discrete diffusion (SEDD)',
  schema: z.object({ ...languageFields, schedule }),
  network: () => ({ model_type: 'sedd', time_conditioning: true, scale_by_sigma: true }),
  objective: (config, recipe) => maskedObjective(config, maskSchedules[recipe.schedule]),
})

/** Block diffusion: blocks one after another, the tokens of each by masked diffusion. */
export const bd3lmType = languageType({
  name: 'bd3lm',
  summary: 'texts block after block, each by masked diffusion (BD3-LM)',
  schema: z.object({
    ...languageFields,
    block_size: z.int().positive().default(16),
    /** Times that training draws: those at which the loss varies least (Arriola et al. 2025, section 5.3). The bound is measured over all. */
    interval: z
      .tuple([z.number().min(1e-3).lt(1), z.number().max(1)])
      .refine(([low, high]) => low < high, 'must rise')
      .default([1e-3, 1]),
  }),
  network: ({ block_size }) => ({ model_type: 'bd3lm', block_size, time_conditioning: false }),
  objective: (config) => blockObjective(config, maskSchedules.loglinear),
  interval: ({ interval }) => interval,
})

/** The causal twin of the others. */
export const arType = languageType({
  name: 'ar',
  summary: 'texts a token after another, by the causal twin of MDLM’s network',
  schema: z.object(languageFields),
  network: () => ({ model_type: 'ar', causal: true, time_conditioning: false }),
  objective: causalObjective,
})

/** The types of recipes that make a language model of MDLM's network. */
const languageTypes = [mdlmType, seddType, bd3lmType, arType]

/** Whether a recipe type makes such a model. */
export const isLanguageRecipe = (name: unknown): boolean => languageTypes.some((one) => one.name === name)

/** What a recipe of such a model says, and how its loss is measured. @throws ArgumentError for another type */
export function languageRecipeOf(name: string, fields: Readonly<Record<string, unknown>>, config: MdlmConfig) {
  const type = languageTypes.find((one) => one.name === name)
  if (!type) throw new ArgumentError(`${name} is none of the recipe types ${languageTypes.map((one) => one.name).join(', ')}`)
  const recipe = type.schema.parse(fields) as Fields
  return { recipe, objective: type.objective(config, recipe as never) }
}

/** A recipe type with how its network's loss is measured. */
type LanguageType<S extends z.ZodObject> = RecipeType<S> & Pick<Spec<S>, 'objective'>

interface Spec<S extends z.ZodObject> {
  readonly name: string
  readonly summary: string
  readonly schema: S
  /** Fields of the network that the type decides. */
  network(recipe: z.infer<S>): Record<string, unknown>
  objective(config: MdlmConfig, recipe: z.infer<S>): TextObjective
  interval?(recipe: z.infer<S>): readonly [number, number]
}

function languageType<S extends z.ZodObject<typeof languageFields>>(spec: Spec<S>): LanguageType<S> {
  const { name, summary, schema } = spec
  const job = (recipe: z.infer<S>, context: JobContext) => languageJob(spec, recipe, context)
  return { name, summary, schema, training: languageTraining, job, objective: spec.objective }
}

async function languageJob<S extends z.ZodObject<typeof languageFields>>(
  spec: Spec<S>,
  recipe: z.infer<S>,
  { batchSize: B, preview }: JobContext,
): Promise<TrainingJob> {
  const { data, tokenizer, length: N, network: given, validation_prompts: prompts } = recipe as Fields
  const corpus = await corpusOf(data, tokenizer)
  const { vocabulary, bytes, train, validation } = corpus
  const sizes = { hidden_dim: 192, cond_dim: 64, n_blocks: 6, n_heads: 3, ...given }
  const own = { ...sizes, ...spec.network(recipe), vocab_size: bytes.length + 1, model_length: N }
  const config = mdlmConfig(own, 'network')
  const objective = spec.objective(config, recipe)
  const interval = spec.interval?.(recipe)
  const params = new Params()
  const nats = objective.nats(mdlm(params, config), [B, N])
  const loss = nats.mean().div(N)
  const save = (weights: ReadonlyMap<string, NdArray>, dir: string) => {
    saveModel(dir, configOf(objective, config), weights, { dtype: 'f16' })
    saveLanguageTokenizer(dir, vocabulary, { maxLength: N })
  }
  return {
    unit: 'text',
    task: {
      params,
      loss,
      metrics: { bits_per_token: loss.div(Math.LN2) },
      data: corpus.fingerprint,
      batch: async (generator) => objective.feeds(drawWindows(train, [B, N], generator), generator, interval),
    },
    validation: {
      names: ['bits_per_byte', 'bits_per_token'],
      async measure(weights) {
        const found = await textBits(weights, { objective, config, row: validation, bytes, windows: 4 * B, batch: B, draws: 2 })
        return { bits_per_byte: found.bitsPerByte, bits_per_token: found.bitsPerToken }
      },
    },
    write: (weights) => samplesOf((dir) => save(weights, dir), { prompts, ...preview }),
    save,
  }
}

/** The folder's config. */
function configOf({ className }: TextObjective, config: MdlmConfig): Record<string, unknown> {
  return className === 'SEDD' ? asSeddConfig(config) : { architectures: [className], ...config }
}
