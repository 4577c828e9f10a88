import type { WorkerEvent } from '../../jobs/worker.ts'
import type { Io } from '../command.ts'

interface Running {
  readonly model: string
  readonly began: number
  done: number
  total: number
}

/** What runs and what waits, on a terminal: a line for each job that ended, and one that changes below. */
export class Board {
  readonly #running = new Map<string, Running>()
  readonly #io: Io
  readonly #waiting: () => number
  #shown = false
  #due: NodeJS.Timeout | undefined

  constructor(io: Io, waiting: () => number) {
    this.#io = io
    this.#waiting = waiting
  }

  readonly tell = (told: WorkerEvent): void => {
    const known = this.#running.get(told.id)
    if (told.type === 'started') this.#running.set(told.id, { model: told.model, began: performance.now(), done: 0, total: 0 })
    else if (told.type === 'progress') Object.assign(known ?? {}, { done: told.progress.done, total: told.progress.total })
    else {
      this.#running.delete(told.id)
      this.#line(`${new Date().toLocaleTimeString()}  ${endOf(told)}${known ? `  ${known.model}` : ''}  ${told.id}`)
    }
    this.#due ??= setTimeout(() => this.#draw(), 200)
    this.#due.unref()
  }

  /** Leaves the terminal as other output wants it. */
  clear(): void {
    if (this.#shown) this.#io.err.write('\r\x1b[K')
    this.#shown = false
  }

  #line(text: string): void {
    this.clear()
    this.#io.err.write(`${text}\n`)
  }

  #draw(): void {
    this.#due = undefined
    this.clear()
    const jobs = [...this.#running.values()].map(({ model, done, total, began }) => {
      const seconds = ((performance.now() - began) / 1000).toFixed(0)
      return `${model} ${total > 0 ? `${done}/${total}` : 'opening'} ${seconds} s`
    })
    const waiting = this.#waiting()
    if (jobs.length === 0 && waiting === 0) return
    this.#io.err.write(`${jobs.join(' · ') || 'idle'} · ${waiting} waiting`)
    this.#shown = true
  }
}

function endOf(told: Exclude<WorkerEvent, { type: 'started' | 'progress' }>): string {
  switch (told.type) {
    case 'completed':
      return `done in ${told.seconds.toFixed(1)} s`
    case 'requeued':
      return 'back into the queue'
    case 'failed':
      return told.fault === 'cancelled' ? 'cancelled' : `failed: ${told.message}`
  }
}
