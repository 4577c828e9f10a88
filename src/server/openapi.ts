import type { Hono } from 'hono'
import { z } from 'zod'
import { jobSpec, jobStates } from '../jobs/job.ts'
import { version } from '../jobs/version.ts'
import { textRequest as a1111TextRequest, extraRequest, imageRequest, optionsRequest, pngInfoRequest } from './a1111/schemas.ts'
import type { Env } from './env.ts'
import { huggingFaceRequest } from './huggingface.ts'
import { jobChange, jobQuery, jobRequest } from './jobs.ts'
import { editRequest, generationRequest, variationRequest } from './openai/schemas.ts'
import { textRequest } from './text.ts'
import { upscaleRequest } from './upscale.ts'
import { videoQuery, videoRequest } from './videos.ts'

interface Route {
  readonly summary: string
  readonly json?: z.ZodType
  /** A form: its fields, and beside them files. */
  readonly form?: z.ZodType
  readonly files?: readonly string[]
  readonly query?: z.ZodObject
  /** What comes: JSON unless said otherwise. */
  readonly gives?: string
  readonly status?: number
  /** Answered without a key. */
  readonly open?: boolean
}

const file = { gives: 'application/octet-stream' }
const events = { gives: 'text/event-stream' }

/** Every route, by the method and the path that the program answers; the document is made of the schemas that requests are held against. */
export const routes: Readonly<Record<string, Route>> = {
  'GET /health': { summary: 'Whether the process runs', open: true },
  'GET /ready': { summary: 'Whether it takes work: 503 while the queue or the store is away, and before it stops', open: true },
  'GET /metrics': { summary: 'Measurements for Prometheus', gives: 'text/plain' },
  'GET /openapi.json': { summary: 'This document', open: true },
  'GET /studio': { summary: 'The studio’s pages, for a browser', gives: 'text/html', open: true },
  'GET /v1/models': { summary: 'The models; with options=true the schema of each one’s options' },
  'GET /v1/models/{id}': { summary: 'A model with the schema of its options' },
  'POST /v1/images/generations': {
    summary: 'Pictures of a prompt; with stream, events image_generation.partial_image and .completed',
    json: generationRequest,
  },
  'POST /v1/images/edits': {
    summary: 'A picture changed, where the mask is transparent',
    form: editRequest,
    files: ['image', 'mask'],
  },
  'POST /v1/images/variations': {
    summary: 'Pictures like a picture, of a model that takes no prompt',
    form: variationRequest,
    files: ['image'],
  },
  'POST /v1/videos': {
    summary: 'A film, of a model that makes frames',
    json: videoRequest,
    form: videoRequest,
    files: ['input_reference'],
  },
  'GET /v1/videos': { summary: 'Films', query: videoQuery },
  'GET /v1/videos/{id}': { summary: 'How far a film is' },
  'DELETE /v1/videos/{id}': { summary: 'Ends and forgets a film' },
  'GET /v1/videos/{id}/content': { summary: 'The film', ...file },
  'POST /v1/text': { summary: 'Texts, of a model that makes text', json: textRequest },
  'GET /v1/upscalers': { summary: 'What enlarges pictures' },
  'POST /v1/upscale': { summary: 'A larger picture', json: upscaleRequest, form: upscaleRequest, files: ['image'] },
  'POST /v1/files': { summary: 'Uploads a picture for the options of a job', form: z.object({}), files: ['file'] },
  'GET /v1/files/{id}/content': { summary: 'A file; with owner, expires and signature of its address without a key', ...file },
  'POST /v1/jobs': {
    summary: 'Puts a job into the queue; Idempotency-Key makes sending it twice harmless',
    json: jobRequest,
    status: 202,
  },
  'GET /v1/jobs': {
    summary: 'Jobs, the newest first; those that wait alone in the order in which they will run',
    query: jobQuery,
  },
  'GET /v1/jobs/events': { summary: 'What happens to your jobs, as events with the job in each', ...events },
  'GET /v1/jobs/{id}': { summary: 'A job' },
  'GET /v1/jobs/{id}/events': { summary: 'What happens to a job, until it ends', ...events },
  'PATCH /v1/jobs/{id}': { summary: 'Moves a job that waits', json: jobChange },
  'POST /v1/jobs/{id}/cancel': { summary: 'Ends a job: at once where it waits, within a step where it runs' },
  'POST /v1/jobs/{id}/retry': { summary: 'Runs a job again that failed or was cancelled', status: 202 },
  'DELETE /v1/jobs/{id}': { summary: 'Forgets a job that has ended' },
  'GET /v1/queue': { summary: 'How many jobs are in which state, and whether the queue is paused' },
  'POST /v1/queue/{verb}': { summary: 'pause or resume: no job begins while it is paused' },
  'POST /sdapi/v1/txt2img': { summary: 'As AUTOMATIC1111’s', json: a1111TextRequest },
  'POST /sdapi/v1/img2img': { summary: 'As AUTOMATIC1111’s', json: imageRequest },
  'POST /sdapi/v1/extra-single-image': { summary: 'As AUTOMATIC1111’s: a larger picture', json: extraRequest },
  'GET /sdapi/v1/progress': { summary: 'How far your job is, with a preview' },
  'POST /sdapi/v1/interrupt': { summary: 'Ends your jobs of this interface' },
  'POST /sdapi/v1/skip': { summary: 'As interrupt' },
  'POST /sdapi/v1/png-info': { summary: 'The settings in a picture', json: pngInfoRequest },
  'GET /sdapi/v1/options': { summary: 'The model that is chosen' },
  'POST /sdapi/v1/options': { summary: 'Chooses a model for your requests', json: optionsRequest },
  'GET /sdapi/v1/samplers': { summary: 'Samplers by name' },
  'GET /sdapi/v1/schedulers': { summary: 'Schedules that may stand behind a sampler’s name' },
  'GET /sdapi/v1/upscalers': { summary: 'What enlarges pictures' },
  'GET /sdapi/v1/sd-models': { summary: 'The models that make pictures' },
  'POST /sdapi/v1/refresh-checkpoints': { summary: 'Nothing to do: folders of models are looked at by themselves' },
  'GET /sdapi/v1/loras': { summary: 'None' },
  'GET /sdapi/v1/sd-vae': { summary: 'None' },
  'GET /sdapi/v1/prompt-styles': { summary: 'None' },
  'GET /sdapi/v1/embeddings': { summary: 'None' },
  'POST /models/{model}': { summary: 'As Hugging Face’s text-to-image', json: huggingFaceRequest, ...file },
  'POST /hf-inference/models/{model}': { summary: 'As Hugging Face’s text-to-image', json: huggingFaceRequest, ...file },
}

/** OpenAPI 3.1 of every route. */
export function openApi(): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const [name, route] of Object.entries(routes)) {
    const [method = '', path = ''] = name.split(' ')
    paths[path] = { ...paths[path], [method.toLowerCase()]: operationOf(path, route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'langevin',
      version,
      description: 'Diffusion models behind HTTP. Errors: { "error": { message, type, param, code } }.',
    },
    security: [{ key: [] }],
    paths,
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } }, schemas: { Job: jobSchema() } },
  }
}

function operationOf(
  path: string,
  { summary, json, form, files = [], query, gives = 'application/json', status = 200, open }: Route,
): object {
  const content = {
    ...(json && { 'application/json': { schema: schemaOf(json) } }),
    ...(form && { 'multipart/form-data': { schema: withFiles(schemaOf(form), files) } }),
  }
  const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const asked = Object.entries((query && (schemaOf(query).properties as Record<string, object>)) ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    schema,
  }))
  const isJob = /^\/v1\/jobs(\/\{id\}(\/(cancel|retry))?)?$/.test(path)
  return {
    summary,
    ...(named.length + asked.length > 0 && { parameters: [...named, ...asked] }),
    ...(Object.keys(content).length > 0 && { requestBody: { required: true, content } }),
    responses: {
      [status]: {
        description: 'done',
        content: { [gives]: isJob && !query ? { schema: { $ref: '#/components/schemas/Job' } } : {} },
      },
      default: { description: 'an error' },
    },
    ...(open && { security: [] }),
  }
}

const schemaOf = (schema: z.ZodType): Record<string, unknown> => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>
  return rest
}

const withFiles = (schema: Record<string, unknown>, files: readonly string[]) => ({
  ...schema,
  properties: {
    ...(schema.properties as object),
    ...Object.fromEntries(files.map((name) => [name, { type: 'string', format: 'binary' }])),
  },
})

/** A job as every route gives it. */
const jobSchema = () =>
  schemaOf(
    z.looseObject({
      object: z.literal('job'),
      id: z.string(),
      state: z.enum(jobStates),
      ...jobSpec.pick({ task: true, model: true, options: true, output: true, previews: true, owner: true, metadata: true })
        .shape,
      priority: z.number(),
      created: z.number().meta({ description: 'milliseconds since 1970; so are started and ended' }),
      started: z.number().optional(),
      ended: z.number().optional(),
      attempts: z.int(),
      worker: z.string().optional(),
      progress: z
        .looseObject({
          done: z.int().meta({ description: 'calls of the network so far' }),
          total: z.int(),
          picture: z.int(),
          eta: z.number().optional().meta({ description: 'seconds that are left' }),
          preview: z.looseObject({ file: z.string(), url: z.string(), index: z.int() }).optional(),
        })
        .optional(),
      result: z
        .looseObject({
          files: z.array(
            z.looseObject({ file: z.string(), url: z.string(), type: z.string(), bytes: z.int(), seed: z.int().optional() }),
          ),
          texts: z.array(z.string()).optional(),
          settings: z.record(z.string(), z.unknown()),
        })
        .optional(),
      error: z.object({ fault: z.string(), message: z.string(), param: z.string().optional() }).optional(),
    }),
  )

export function openApiRoute(app: Hono<Env>): void {
  app.get('/openapi.json', (c) => c.json(openApi()))
}
