import type { JobSpec } from '../../jobs/job.ts'
import type { DescribedModel } from '../../jobs/models/catalogue.ts'
import { badRequest } from '../errors.ts'
import { seeded, takes } from '../submit.ts'
import type { EditRequest, GenerationRequest } from './schemas.ts'

/** OpenAI's fields, and the model's options that they are. */
const names = {
  negative_prompt: 'negative',
  num_inference_steps: 'steps',
  guidance_scale: 'guidance',
  seed: 'seed',
  strength: 'strength',
} as const

/**
 * A request in the words of the model's page.
 *
 * @throws ApiError 400 that names a field which the model has no use for
 */
export function optionsOf(model: DescribedModel, request: Partial<EditRequest & GenerationRequest>): Record<string, unknown> {
  const known = takes(model)
  const options: Record<string, unknown> = {}
  const set = (param: string, name: string, value: unknown) => {
    if (!known.has(name)) throw badRequest(param, `${param}: ${model.id} (${model.className}) takes no ${name}`)
    options[name] = value
  }
  const { prompt, size = 'auto', n = 1 } = request
  // A prompt is a must of the interface: a model of classes reads a class in it, one without conditions nothing.
  if (prompt !== undefined && known.has('prompt')) options.prompt = prompt
  else if (prompt !== undefined && known.has('label')) options.label = prompt.split(/\s*;\s*/)
  if (n !== 1) set('n', 'num', n)
  if (size !== 'auto') {
    const [width, height] = size.split('x').map(Number)
    set('size', 'width', width)
    set('size', 'height', height)
  }
  for (const [param, name] of Object.entries(names)) {
    const value = request[param as keyof typeof names]
    if (value !== undefined) set(param, name, value)
  }
  return seeded(model, { ...options, ...request.options })
}

/** How the pictures become files. @throws ApiError 400 for what is not made here */
export function outputOf({
  output_format = 'png',
  output_compression,
  background,
}: Partial<GenerationRequest>): Partial<JobSpec['output']> {
  if (background === 'transparent') throw badRequest('background', 'background: transparent pictures are not made here')
  const quality = output_format === 'png' || output_compression === undefined ? undefined : Math.max(1, output_compression)
  return { format: output_format as 'png', ...(quality !== undefined && { quality }) }
}

/** The field of a request that an option of the page came from. */
export const paramOf = (option: string | null): string | null => {
  if (option === 'width' || option === 'height') return 'size'
  if (option === 'num') return 'n'
  return Object.entries(names).find(([, name]) => name === option)?.[0] ?? option
}
