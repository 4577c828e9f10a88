import type { Hono } from 'hono'
import type { Api, Env } from './env.ts'

/** Milliseconds that the queue and the store have to answer in. */
const PATIENCE = 2000

/** Whether the process runs, whether it takes work, and what it measured. */
export function health(app: Hono<Env>, api: Api): void {
  app.get('/health', (c) => c.json({ status: 'ok' }))
  app.get('/ready', async (c) => {
    const { queue, store } = api.service
    const checks = { queue: await answers(queue.ping()), store: await answers(store.check()), draining: api.draining() }
    const ready = checks.queue && checks.store && !checks.draining
    return c.json({ status: ready ? 'ready' : 'not ready', ...checks }, ready ? 200 : 503)
  })
}

export function metrics(app: Hono<Env>, { metrics: { registry } }: Api): void {
  app.get('/metrics', async (c) => c.text(await registry.metrics(), 200, { 'content-type': registry.contentType }))
}

async function answers(asked: Promise<unknown>): Promise<boolean> {
  const late = new Promise<false>((resolve) => setTimeout(() => resolve(false), PATIENCE).unref())
  return Promise.race([asked.then(() => true).catch(() => false), late])
}
