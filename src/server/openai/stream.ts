import { type SSEStreamingApi, streamSSE } from 'hono/streaming'
import type { Job, MadeFile } from '../../jobs/job.ts'
import type { Api, Ctx } from '../env.ts'
import { untilEnd } from '../submit.ts'
import { base64Of, createdOf, type EventKind, factsOf, reworded } from './answer.ts'

/** A job as OpenAI's server-sent events: its partial pictures, then the picture, or an error. */
export function streamed(api: Api, c: Ctx, job: Job, kind: EventKind): Response {
  const owner = c.get('user').name
  // What stands between must not hold events back.
  c.header('x-accel-buffering', 'no')
  return streamSSE(c, async (stream) => {
    const partials: Promise<void>[] = []
    let sent = 0
    /** One picture as an event. A slow reader holds this up, and nothing but the job's few partial pictures waits. */
    const show = async (type: 'partial_image' | 'completed', file: MadeFile & { readonly index?: number }) => {
      const base = {
        type: `${kind}.${type}`,
        b64_json: await base64Of(api, owner, file),
        created_at: createdOf(job),
        ...factsOf(file, job.spec),
      }
      await send(
        stream,
        base.type,
        type === 'completed' ? { ...base, usage: noTokens } : { ...base, partial_image_index: file.index },
      )
    }
    try {
      const ended = await untilEnd(api, c, job, (event) => {
        const preview = event.type === 'progress' ? event.progress.preview : undefined
        if (!preview || preview.index < sent) return
        sent = preview.index + 1
        partials.push((partials.at(-1) ?? Promise.resolve()).then(() => show('partial_image', preview)))
      })
      await partials.at(-1)
      await show('completed', ended.result?.files[0] as MadeFile)
    } catch (error) {
      const { message, type, param, code } = reworded(error)
      await send(stream, 'error', { type: 'error', error: { message, type, param, code } })
    }
  })
}

/** No tokens are counted here; the field is OpenAI's, and their clients read it. */
const noTokens = { input_tokens: 0, output_tokens: 0, total_tokens: 0, input_tokens_details: { image_tokens: 0, text_tokens: 0 } }

const send = (stream: SSEStreamingApi, event: string, data: object) => stream.writeSSE({ event, data: JSON.stringify(data) })
