import { connect, imageDataOf, type ModelSource, type OpenSettings } from '../../../src/web/index.ts'

/*
 * What the tests call in the page, with arguments and results that JSON holds.
 */

const start = () => connect(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }))
let langevin = start()

interface Draw {
  readonly source: ModelSource | { readonly blobs: string }
  readonly settings?: OpenSettings
  readonly options?: Record<string, unknown>
  readonly preview?: 'none' | 'sketch' | 'picture'
  /** After which step the run is stopped. */
  readonly stopAfter?: number
}

/** A served folder as files that a reader might have chosen. */
async function blobsAt(folder: string): Promise<Map<string, Blob>> {
  const paths = Object.keys(await (await fetch(`${folder}/files.json`)).json())
  return new Map(await Promise.all(paths.map(async (path) => [path, await (await fetch(`${folder}/${path}`)).blob()] as const)))
}

async function draw({ source, settings = {}, options = {}, preview = 'none', stopAfter = Infinity }: Draw) {
  const began = performance.now()
  let fetched = 0
  const model = await langevin.open('blobs' in source ? { files: await blobsAt(source.blobs) } : source, settings, {
    onProgress: ({ done }) => {
      fetched = done
    },
  })
  const opened = performance.now()
  const stop = new AbortController()
  const run = model.generate(options, { preview, signal: stop.signal })
  const steps: number[] = []
  const times: number[] = []
  let previews = 0
  for (;;) {
    const next = await run.next()
    if (next.done) {
      const result = next.value
      await model.close()
      if (result.type !== 'pictures') return { steps, type: result.type }
      const levels = imageDataOf(result.pictures).map(({ data }) => [...data])
      const seconds = { open: (opened - began) / 1000, run: (performance.now() - opened) / 1000 }
      return { levels, shape: result.pictures.shape, steps, times, previews, fetched, seconds, className: model.className }
    }
    steps.push(next.value.done)
    times.push(performance.now())
    if (next.value.preview) previews++
    if (steps.length >= stopAfter) stop.abort(new Error('stopped by the page'))
  }
}

const failing = (work: () => Promise<unknown>) =>
  work().then(
    () => 'no error',
    (error: Error) => `${error.name}: ${error.message}`,
  )

const tests = {
  draw,
  measure: (source: ModelSource) => langevin.measure(source),
  failure: (given: Draw) => failing(() => draw(given)),
  async task(name: string, input?: unknown) {
    const run = langevin.task(name, input)
    for (;;) {
      const next = await run.next()
      if (next.done) return next.value
    }
  },
  restart() {
    langevin.end()
    langevin = start()
  },
  /** The longest time that the page could not answer while something ran, in milliseconds. */
  async longestTask(work: Draw) {
    let longest = 0
    let last = performance.now()
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last - 10)
      last = performance.now()
    }, 10)
    await draw(work)
    clearInterval(timer)
    return longest
  },
  isolated: () => crossOriginIsolated,
  /** Bytes of this page and its worker, which only an isolated page may ask for. */
  async memory() {
    const { measureUserAgentSpecificMemory: measure } = performance as unknown as {
      measureUserAgentSpecificMemory(): Promise<{ bytes: number }>
    }
    return (await measure.call(performance)).bytes
  },
}
Object.assign(globalThis, { tests })
export type Tests = typeof tests
