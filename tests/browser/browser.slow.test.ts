import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imagesOf, toPixels } from '../../src/images/pixels.ts'
import { loadPipeline } from '../../src/pipelines/load.ts'
import { buildPage, webEngine } from './build.ts'
import { chromium, startBrowser } from './chromium.ts'
import { train2d } from './page/train-2d.ts'
import { root, serveSite } from './site.ts'

const missing = chromium && webEngine ? undefined : 'run `node scripts/browser.mjs` first'

interface Drawn {
  readonly levels: readonly (readonly number[])[]
  readonly steps: readonly number[]
  readonly previews: number
  readonly fetched: number
}

/** The levels that a run gives in Node, red, green and blue. */
async function inNode(model: string, options: Record<string, unknown>): Promise<number[][]> {
  const pipeline = await loadPipeline(model)
  const run = pipeline.generate(options)
  for (;;) {
    const { done, value } = await run.next()
    if (!done) continue
    if (value.type !== 'pictures') throw new Error(`a run made ${value.type}`)
    await pipeline.release()
    return imagesOf(value.pictures).map((image) => {
      const { data, shape } = toPixels(image)
      const channels = shape[2] as number
      return Array.from(
        { length: (3 * data.length) / channels },
        (_, i) => data[channels === 3 ? i : Math.floor(i / 3)] as number,
      )
    })
  }
}

/** The greatest difference of two pictures, the page's with alpha. */
const furthest = (page: readonly number[], node: readonly number[]) =>
  node.reduce((most, level, i) => Math.max(most, Math.abs(level - (page[Math.floor(i / 3) * 4 + (i % 3)] as number))), 0)

describe.skipIf(missing)(`in Chromium${missing ? `: ${missing}` : ''}`, () => {
  const out = mkdtempSync(join(tmpdir(), 'langevin-page-'))
  let scripts: Map<string, string>
  let site: Awaited<ReturnType<typeof serveSite>>
  let browser: Awaited<ReturnType<typeof startBrowser>>

  beforeAll(async () => {
    scripts = await buildPage(join(import.meta.dirname, 'page'), out)
    site = await serveSite({ folders: { '': out, zoo: join(root, 'zoo') } })
    browser = await startBrowser()
    await browser.page.goto(site.url)
  }, 300_000)
  afterAll(async () => {
    await browser?.close()
    await site?.close()
    rmSync(out, { recursive: true, force: true })
  })

  const draw = (given: object) => browser.page.evaluate<Drawn>(`tests.draw(${JSON.stringify(given)})`)

  test('the bundle has nothing of Node', () => {
    const own = [...scripts].filter(([name]) => !/\/ort\./.test(name))
    expect(own.length).toBeGreaterThan(1)
    for (const [, code] of own) expect(code).not.toMatch(/["'`]node:|browser-external/)
  })

  test.each([
    ['ddpm-faces-32', { steps: 6, seed: 3 }],
    ['stickers-t2i', { prompt: 'a red apple and a dog', steps: 4, seed: 5, num: 2 }],
    ['score-stickers-32', { steps: 4, seed: 1 }],
  ])('%s draws Node’s picture, from an address, under a strict policy', async (model, options) => {
    const drawn = await draw({ source: { url: `/zoo/${model}` }, options, preview: 'picture' })
    const expected = await inNode(join(root, 'zoo', model), options)
    expect(drawn.levels).toHaveLength(expected.length)
    for (const [i, levels] of expected.entries()) expect(furthest(drawn.levels[i] as number[], levels)).toBeLessThanOrEqual(1)
    expect(drawn.previews).toBe(drawn.steps.length)
    expect(drawn.fetched).toBeGreaterThan(5e6)
  })

  test('fifty training steps give Node’s losses', async () => {
    const here: number[] = []
    for await (const loss of train2d({ steps: 50 })) here.push(loss)
    const there = await browser.page.evaluate<number[]>('tests.train(50)')
    expect(there).toHaveLength(50)
    for (const [i, loss] of here.entries()) expect(Math.abs(loss - (there[i] as number))).toBeLessThan(1e-4)
  })

  test('a run that is stopped ends after the step, and the next one works', async () => {
    const source = { url: '/zoo/ddpm-faces-32' }
    const failure = await browser.page.evaluate<string>(
      `tests.failure(${JSON.stringify({ source, options: { steps: 50 }, stopAfter: 2 })})`,
    )
    expect(failure).toBe('Error: stopped by the page')
    expect((await draw({ source, options: { steps: 2 } })).steps).toEqual([1, 2])
  })

  test('the page answers while the worker works', async () => {
    const given = { source: { url: '/zoo/ddpm-faces-32' }, options: { steps: 3 } }
    // Two processes share this machine's cores: that the page waits for a step (a second and more) is what must not be.
    expect(await browser.page.evaluate<number>(`tests.longestTask(${JSON.stringify(given)})`)).toBeLessThan(500)
  })

  test('errors come over with their names and remedies', async () => {
    const failure = (given: object) => browser.page.evaluate<string>(`tests.failure(${JSON.stringify(given)})`)
    const source = { url: '/zoo/ddpm-faces-32' }
    expect(await failure({ source, options: { steps: -1 } })).toMatch(/^ArgumentError: .*steps/)
    expect(await failure({ source: { url: '/zoo/none' } })).toMatch(/^FetchError: .*zoo\/none\/files.json answered 404/)
    expect(await failure({ source, settings: { device: 'webgpu' }, options: { steps: 1 } })).toMatch(/^EngineError: .*webgpu/i)
  })
})
