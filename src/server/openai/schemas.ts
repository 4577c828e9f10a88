import { z } from 'zod'

/** Fields that are null count as not given. */
export function withoutNulls(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
}

const count = (least: number, most: number) => z.int().min(least).max(most)

/** What OpenAI's requests for pictures have in common, and what is langevin's beside it. */
const common = {
  model: z.string().optional().meta({ description: 'as GET /v1/models lists them; the server’s first unless given' }),
  n: count(1, 10).default(1).meta({ description: 'how many pictures' }),
  size: z
    .string()
    .regex(/^(auto|[1-9]\d{0,4}x[1-9]\d{0,4})$/, 'expected auto or WIDTHxHEIGHT')
    .default('auto')
    .meta({ description: 'WIDTHxHEIGHT in pixels; auto: the model’s own' }),
  quality: z.string().optional().meta({ description: 'read and not used: num_inference_steps says how much work' }),
  response_format: z
    .enum(['b64_json', 'url'])
    .default('b64_json')
    .meta({ description: 'url: an address that holds for an hour' }),
  user: z.string().optional(),
}

const made = {
  background: z
    .enum(['auto', 'opaque', 'transparent'])
    .default('auto')
    .meta({ description: 'transparent is refused: pictures here are opaque' }),
  output_format: z
    .string()
    .default('png')
    .refine((format) => ['png', 'jpeg', 'webp'].includes(format), 'pictures are made as png, jpeg or webp')
    .meta({ description: 'png, jpeg or webp' }),
  output_compression: count(0, 100).optional().meta({ description: 'quality of jpeg and webp' }),
  stream: z.boolean().default(false).meta({ description: 'server-sent events: partial pictures, then the picture' }),
  partial_images: count(0, 3).default(0).meta({ description: 'with stream: pictures of the way' }),
  moderation: z.string().optional().meta({ description: 'read and not used: the server’s own filter decides' }),
}

const own = {
  negative_prompt: z.string().optional().meta({ description: 'what the picture does not show' }),
  num_inference_steps: count(1, 10_000).optional().meta({ description: 'sampling steps' }),
  guidance_scale: z.number().optional().meta({ description: 'how strongly the prompt guides' }),
  seed: z.int().min(0).optional().meta({ description: 'the same seed, the same picture; another each time unless given' }),
  options: z.record(z.string(), z.unknown()).optional().meta({ description: 'any other option of the model by its own name' }),
}

const prompt = z.string().min(1).max(32_000)

export const generationRequest = z.object({ prompt, ...common, ...made, ...own })
export type GenerationRequest = z.infer<typeof generationRequest>

/** Of a form, whose pictures are read apart. */
export const editRequest = z.object({
  prompt,
  ...common,
  ...made,
  ...own,
  input_fidelity: z.string().optional(),
  strength: z.number().min(0).max(1).optional().meta({ description: 'how far the picture may change' }),
})
export type EditRequest = z.infer<typeof editRequest>

export const variationRequest = z.object({ ...common, ...own })

/** A form's texts as what the schema of JSON takes. */
export function fromForm(form: FormData, schema: z.ZodObject): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  for (const [name, value] of form) {
    if (typeof value !== 'string' || !Object.hasOwn(schema.shape, name) || value === '') continue
    found[name] = readAs(value, schema.shape[name] as z.ZodType)
  }
  return found
}

function readAs(text: string, schema: z.ZodType): unknown {
  if (schema.safeParse(text).success) return text
  if (text === 'true' || text === 'false') return text === 'true'
  const number = Number(text)
  if (text.trim() !== '' && Number.isFinite(number)) return number
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
