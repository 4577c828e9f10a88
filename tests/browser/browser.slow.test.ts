import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imagesOf, toPixels } from '../../src/images/pixels.ts'
import { loadPipeline } from '../../src/pipelines/load.ts'
import { buildPage, webEngine } from './build.ts'
import { chromium, startBrowser } from './chromium.ts'
import { train2d } from './page/train-2d.ts'
import { listingOf, root, serveSite } from './site.ts'

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
    site = await serveSite({
      folders: { '': out, zoo: join(root, 'zoo'), fixtures: join(root, 'parity/fixtures/stable-diffusion') },
    })
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

  test('a folder of Stable Diffusion’s that the reader chose draws Node’s picture', async () => {
    const options = { prompt: 'a fox on a hill', steps: 3, seed: 2 }
    const drawn = await draw({ source: { blobs: '/fixtures/sd1' }, options })
    const [levels] = await inNode(join(root, 'parity/fixtures/stable-diffusion/sd1'), options)
    expect(furthest(drawn.levels[0] as number[], levels as number[])).toBeLessThanOrEqual(1)
  })

  test('fifty training steps give Node’s losses', async () => {
    const here: number[] = []
    for await (const loss of train2d({ steps: 50 })) here.push(loss)
    const there = await browser.page.evaluate<number[]>('tests.task("train2d", { steps: 50 })')
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

  test('a download that is cut off goes on where it stopped, in another tab too', async () => {
    const ranges: (string | undefined)[] = []
    const weights = /\/unet\/diffusion_pytorch_model\.safetensors$/
    const cutting = await serveSite({
      folders: { '': out, zoo: join(root, 'zoo') },
      intercept(request, response) {
        if (!weights.test(request.url ?? '')) return false
        ranges.push(request.headers.range)
        if (ranges.length > 1) return false
        response.writeHead(200, { 'content-length': 5_490_966, 'cross-origin-embedder-policy': 'require-corp' })
        response.write(
          readFileSync(join(root, 'zoo/ddpm-faces-32/unet/diffusion_pytorch_model.safetensors')).subarray(0, 2_000_000),
          () => setTimeout(() => response.destroy(), 200),
        )
        return true
      },
    })
    try {
      await browser.page.goto(cutting.url)
      const given = JSON.stringify({ source: { url: '/zoo/ddpm-faces-32' }, options: { steps: 1 } })
      expect(await browser.page.evaluate<string>(`tests.failure(${given})`)).toMatch(
        /^FetchError: .*the connection ended; open the model again/,
      )
      await browser.page.goto(cutting.url)
      const measured = await browser.page.evaluate<{ bytes: number; kept: number }>(
        `tests.measure({ url: '/zoo/ddpm-faces-32' })`,
      )
      expect(measured.kept).toBeGreaterThan(1_900_000)
      expect((await browser.page.evaluate<Drawn>(`tests.draw(${given})`)).steps).toEqual([1])
      expect(ranges).toEqual([undefined, 'bytes=2000000-'])
      // From here on nothing is fetched any more.
      await browser.page.evaluate(`tests.draw(${given})`)
      expect(ranges).toHaveLength(2)
    } finally {
      await browser.page.goto(site.url)
      await cutting.close()
    }
  })

  test('a file that is not what its listing says is refused, and not kept', async () => {
    const listing = { ...listingOf(join(root, 'zoo/ddpm-faces-32')), 'unet/config.json': { bytes: 976, sha256: '0'.repeat(64) } }
    const lying = await serveSite({
      folders: { '': out, zoo: join(root, 'zoo') },
      intercept(request, response) {
        if (!request.url?.endsWith('/files.json')) return false
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(listing))
        return true
      },
    })
    try {
      await browser.page.goto(lying.url)
      const given = JSON.stringify({ source: { url: '/zoo/ddpm-faces-32' }, options: { steps: 1 } })
      for (let i = 0; i < 2; i++)
        expect(await browser.page.evaluate<string>(`tests.failure(${given})`)).toMatch(
          /^FetchError: unet\/config.json: .* another file than its listing says/,
        )
    } finally {
      await browser.page.goto(site.url)
      await lying.close()
    }
  })

  test('a file without a checksum is fetched again once its listing gives another size', async () => {
    let version = 'one'
    const asked: string[] = []
    const changing = await serveSite({
      folders: { '': out },
      intercept(request, response) {
        if (!request.url?.startsWith('/changing/')) return false
        asked.push(request.url)
        const body = request.url.endsWith('files.json')
          ? JSON.stringify({ 'model_index.json': { bytes: version.length } })
          : version
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body)
        return true
      },
    })
    try {
      await browser.page.goto(changing.url)
      const failure = () => browser.page.evaluate<string>(`tests.failure({ source: { url: '/changing' } })`)
      for (version of ['one', 'one', 'three']) expect(await failure()).toMatch(/^ConfigError: .*model_index.json/)
      expect(asked.filter((url) => url.endsWith('model_index.json'))).toHaveLength(2)
    } finally {
      await browser.page.goto(site.url)
      await changing.close()
    }
  })

  test('a full disk is told, with a way on that works', async () => {
    const other = await serveSite({ folders: { '': out, zoo: join(root, 'zoo') } })
    try {
      await browser.page.command('Storage.overrideQuotaForOrigin', { origin: other.url, quotaSize: 3_000_000 })
      await browser.page.goto(other.url)
      const given = { source: { url: '/zoo/ddpm-faces-32' }, options: { steps: 1 } }
      expect(await browser.page.evaluate<string>(`tests.failure(${JSON.stringify(given)})`)).toMatch(
        /^StorageFullError: .*no more room.*keep: "memory"/,
      )
      const inMemory = { ...given, settings: { keep: 'memory' } }
      expect((await draw(inMemory)).steps).toEqual([1])
    } finally {
      await browser.page.goto(site.url)
      await other.close()
    }
  })

  test('without isolation one thread draws the same', async () => {
    const plain = await serveSite({ folders: { '': out, zoo: join(root, 'zoo') }, isolated: false })
    try {
      await browser.page.goto(plain.url)
      expect(await browser.page.evaluate('tests.isolated()')).toBe(false)
      const options = { steps: 2, seed: 3 }
      const drawn = await draw({ source: { url: '/zoo/ddpm-faces-32' }, options })
      const [levels] = await inNode(join(root, 'zoo/ddpm-faces-32'), options)
      expect(furthest(drawn.levels[0] as number[], levels as number[])).toBeLessThanOrEqual(1)
    } finally {
      await browser.page.goto(site.url)
      await plain.close()
    }
  })

  test('the memory of WebAssembly has an end, and the next worker has all of it again', async () => {
    expect(await browser.page.evaluate<string>('tests.task("tooLarge")')).toMatch(/the memory of WebAssembly, 4 GiB, is used up/)
    await browser.page.evaluate('tests.restart()')
    expect((await draw({ source: { url: '/zoo/ddpm-faces-32' }, options: { steps: 1 } })).steps).toEqual([1])
  })
})

describe.skipIf(missing)('in Chromium with WebGPU by SwiftShader', () => {
  test('the GPU sums as the processor does, and its loss is told', async () => {
    const out = mkdtempSync(join(tmpdir(), 'langevin-page-'))
    await buildPage(join(import.meta.dirname, 'page'), out)
    const site = await serveSite({ folders: { '': out } })
    const browser = await startBrowser(['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'])
    try {
      await browser.page.goto(site.url)
      const { sum, lost } = await browser.page.evaluate<{ sum: number; lost: string }>('tests.task("lostGpu")')
      expect(sum).toBe(64 ** 3)
      expect(lost).toMatch(/the GPU was lost.*end this worker, start another and open the model again/)
    } finally {
      await browser.close()
      await site.close()
      rmSync(out, { recursive: true, force: true })
    }
  })
})
