import type { JobEvent } from '../jobs/queue/events.ts'
import type { JobQueue } from '../jobs/queue/queue.ts'

/** Most events that wait for a slow reader; then the oldest of them go. */
const MOST = 1000

/**
 * A queue's events for one reader, however slow: of a job's progress the newest waits, so that what waits does not grow.
 *
 * @param id of a job, or `*`
 */
export function openEvents(queue: JobQueue, id: string): { readonly events: AsyncGenerator<JobEvent>; end(): void } {
  const waiting: JobEvent[] = []
  let wake = () => {}
  let over = false
  const unsubscribe = queue.subscribe(id, (event) => {
    const at = event.type === 'progress' ? waiting.findIndex((one) => one.type === 'progress' && one.id === event.id) : -1
    if (at >= 0) waiting.splice(at, 1)
    waiting.push(event)
    if (waiting.length > MOST) waiting.shift()
    wake()
  })
  const end = () => {
    over = true
    unsubscribe()
    wake()
  }
  async function* events() {
    while (!over) {
      const event = waiting.shift()
      if (event) yield event
      else
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    }
  }
  return { events: events(), end }
}
