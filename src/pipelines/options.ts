import { z } from 'zod'
import { ArgumentError } from '../core/errors.ts'
import { type SchedulerConfig, schedulerFromConfig } from '../diffusion/index.ts'
import { NdArray } from '../runtime/ndarray.ts'

/**
 * What a caller gives by a pipeline's schema, with the defaults filled in.
 *
 * @throws ArgumentError naming every fault, and for an option that the schema lacks, those that it has
 */
export function parseOptions<S extends z.ZodObject>(place: string, schema: S, given: unknown): z.infer<S> {
  const parsed = schema.strict().safeParse(given)
  if (parsed.success) return parsed.data as z.infer<S>
  const faults = parsed.error.issues.map((issue) => {
    if (issue.code !== 'unrecognized_keys' || issue.path.length > 0) return [...issue.path, issue.message].join(': ')
    return `${issue.keys.join(', ')}: no option here; it takes ${Object.keys(schema.shape).join(', ')}`
  })
  throw new ArgumentError(`${place}: ${faults.join('; ')}`)
}

/** Short names of diffusers' scheduler classes, for the models that any of them can sample. */
export const samplers = {
  ddpm: 'DDPMScheduler',
  ddim: 'DDIMScheduler',
  pndm: 'PNDMScheduler',
  euler: 'EulerDiscreteScheduler',
  'euler-ancestral': 'EulerAncestralDiscreteScheduler',
  heun: 'HeunDiscreteScheduler',
  lms: 'LMSDiscreteScheduler',
  'dpm++': 'DPMSolverMultistepScheduler',
  unipc: 'UniPCMultistepScheduler',
} as const
export type SamplerName = keyof typeof samplers
export const samplerNames = Object.keys(samplers) as SamplerName[]

/** The scheduler of a config, or another by name with the config's noise schedule. */
export const schedulerNamed = (name: SamplerName | undefined, config: SchedulerConfig) =>
  schedulerFromConfig(name === undefined ? config : { ...config, _class_name: samplers[name] })

/** The flags that every sampling has. */
export const seedOption = z
  .int()
  .default(0)
  .meta({ description: "of the random numbers, which are PyTorch's: the same seed, the same pictures" })
export const numOption = z.int().positive().default(1).meta({ description: 'how many pictures, of the seeds seed, seed + 1, …' })
export const stepsOption = z
  .int()
  .positive()
  .meta({ description: "sampling steps; as many as the model's own pipeline takes unless given" })
export const samplerOption = z
  .enum(samplerNames)
  .optional()
  .meta({ description: "the sampler; what the model's folder names unless given" })

export const schedulerOption = z
  .union([z.string(), z.looseObject({ _class_name: z.string() })])
  .optional()
  .meta({ description: "the sampler by name (DPM++ 2M Karras, euler) or class, or a .json of options over the model's own" })

/** 0 … n in parts of at most `most`, as even as can be, so that few sizes are compiled. */
export function parts(n: number, most: number): [from: number, to: number][] {
  const count = Math.ceil(n / most)
  return Array.from({ length: count }, (_, i) => [Math.floor((i * n) / count), Math.floor(((i + 1) * n) / count)])
}

/** What `run` gives for the rows [from, to), at most `batch` at once, joined for all n; a signal stops between two runs. */
export async function inParts(
  n: number,
  { batch, signal }: { readonly batch: number; readonly signal?: AbortSignal | undefined },
  run: (from: number, to: number) => Promise<NdArray>,
): Promise<NdArray> {
  const found: NdArray[] = []
  for (const [from, to] of parts(n, batch)) {
    signal?.throwIfAborted()
    found.push(await run(from, to))
  }
  return NdArray.concat(found)
}
