import type { QueryClient } from '@tanstack/react-query'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { answerTo, connection, key } from './client.ts'
import { jobKeys } from './queries.ts'
import type { Job } from './types.ts'

/** Most seconds between two tries to reach a server that is gone. */
const PATIENCE = 5

/** Keeps what the page knows of jobs as the server tells it, until the signal; comes back by itself after a server that was gone. */
export async function followJobs(client: QueryClient, signal: AbortSignal): Promise<void> {
  for (let wait = 0.5; !signal.aborted; wait = Math.min(PATIENCE, wait * 1.6)) {
    try {
      const answer = await answerTo('/v1/jobs/events', { signal })
      connection.set('up')
      wait = 0.5
      // What happened before this moment was not told.
      void client.invalidateQueries()
      const events = answer.body?.pipeThrough(new TextDecoderStream() as never).pipeThrough(new EventSourceParserStream())
      if (!events) return
      const reader = events.getReader()
      for (let next = await reader.read(); !next.done; next = await reader.read())
        take(client, JSON.parse((next.value as { data: string }).data) as Job)
      connection.set('gone')
    } catch {
      if (signal.aborted) return
      if (connection.get() === 'locked') await keyChange(signal)
      else connection.set('gone')
    }
    await new Promise((again) => setTimeout(again, wait * 1000))
  }
}

const keyChange = (signal: AbortSignal) =>
  new Promise<void>((changed) => {
    const end = key.subscribe(() => {
      end()
      changed()
    })
    signal.addEventListener('abort', () => changed())
  })

function take(client: QueryClient, job: Job): void {
  client.setQueryData(jobKeys.one(job.id), job)
  client.setQueryData<readonly Job[]>(jobKeys.recent, (known) => {
    if (!known) return known
    const at = known.findIndex(({ id }) => id === job.id)
    return at < 0 ? [job, ...known] : known.with(at, job)
  })
  if (job.state !== 'running' || !job.progress) {
    void client.invalidateQueries({ queryKey: jobKeys.queue })
    if (job.state === 'completed') void client.invalidateQueries({ queryKey: jobKeys.gallery })
  }
}
