import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Service } from '../jobs/service.ts'
import type { WorkerEvent } from '../jobs/worker.ts'

/** What Prometheus reads at `/metrics`. */
export class Metrics {
  readonly registry = new Registry()
  readonly requests = new Histogram({
    name: 'langevin_http_request_seconds',
    help: 'Seconds from a request to the end of its answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.02, 0.1, 0.5, 1, 5, 20, 60, 300],
    registers: [this.registry],
  })
  readonly accepted = new Counter({
    name: 'langevin_jobs_accepted_total',
    help: 'Jobs that were taken into the queue',
    labelNames: ['model', 'via'],
    registers: [this.registry],
  })
  readonly #seconds = new Histogram({
    name: 'langevin_job_seconds',
    help: 'Seconds that a job of this host ran',
    labelNames: ['end'],
    buckets: [0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800],
    registers: [this.registry],
  })
  readonly #began = new Map<string, number>()

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  /** Adds what is read from the queue at each look. */
  watch({ queue, worker }: Service): void {
    const { registry } = this
    new Gauge({
      name: 'langevin_jobs',
      help: 'Jobs in the queue by their state',
      labelNames: ['state'],
      registers: [registry],
      async collect() {
        const counts = await queue.counts().catch(() => undefined)
        for (const [state, count] of Object.entries(counts ?? {})) this.set({ state }, count)
      },
    })
    new Gauge({
      name: 'langevin_model_process_bytes',
      help: 'Memory of the processes that run models, as of their last job',
      labelNames: ['process'],
      registers: [registry],
      collect() {
        for (const [i, { bytes }] of (worker?.processes ?? []).entries()) this.set({ process: i }, bytes)
      },
    })
  }

  job(told: WorkerEvent): void {
    if (told.type === 'started') this.#began.set(told.id, performance.now())
    else if (told.type !== 'progress') {
      const began = this.#began.get(told.id)
      this.#began.delete(told.id)
      if (began !== undefined)
        this.#seconds.observe({ end: told.type === 'failed' ? told.fault : told.type }, (performance.now() - began) / 1000)
    }
  }
}
