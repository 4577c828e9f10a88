import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildPage, webEngine } from './build.ts'
import { chromium, type Page, startBrowser } from './chromium.ts'
import { listingOf, root, serveSite } from './site.ts'

const missing = chromium && webEngine ? undefined : 'run `node scripts/browser.mjs` first'

/** Waits until the page says so. */
async function until(page: Page, condition: string, seconds = 240): Promise<void> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    if (await page.evaluate<boolean>(condition)) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error(
    `never true: ${condition}; the page: ${await page.evaluate<string>('document.body.innerText')}; ${page.said.join('; ')}`,
  )
}

describe.skipIf(missing)(`the page${missing ? `: ${missing}` : ''}`, () => {
  const out = mkdtempSync(join(tmpdir(), 'langevin-web-'))
  let site: Awaited<ReturnType<typeof serveSite>>
  let browser: Awaited<ReturnType<typeof startBrowser>>
  let fetched = 0

  beforeAll(async () => {
    await buildPage(join(root, 'web'), out)
    cpSync(join(root, 'zoo/stickers-t2i'), join(out, 'models/stickers-t2i'), { recursive: true })
    site = await serveSite({
      folders: { '': out },
      intercept(_, response) {
        response.on('finish', () => {
          fetched += Number(response.getHeader('content-length') ?? 0)
        })
        return false
      },
    })
    browser = await startBrowser()
    await browser.page.goto(site.url)
  }, 300_000)
  afterAll(async () => {
    await browser?.close()
    await site?.close()
    rmSync(out, { recursive: true, force: true })
  })

  const text = (id: string) => browser.page.evaluate<string>(`document.querySelector('#${id}').textContent`)

  test('says what the first picture fetches, draws it, and has fetched no more than 45 MB', async () => {
    const { page } = browser
    await until(page, `document.querySelector('#draw-size').textContent !== ''`)
    expect(await text('draw-size')).toBe('The first picture fetches up to 41 MB: 14 MB are the engine, 25 MB the model.')
    await page.evaluate(
      `(() => { const form = document.querySelector('#draw'); form.elements.steps.value = 4; form.requestSubmit() })()`,
    )
    await until(page, `/^Drawn in/.test(document.querySelector('#draw-status').textContent)`)
    expect(await page.evaluate(`document.querySelectorAll('#draw-pictures canvas').length`)).toBe(1)
    expect(fetched).toBeGreaterThan(38e6)
    expect(fetched).toBeLessThan(45e6)
  })

  test('trains, shows samples and stops', async () => {
    const { page } = browser
    await page.evaluate(`document.querySelector('#train').requestSubmit()`)
    await until(page, `/^Step 1[0-9]0 /.test(document.querySelector('#train-status').textContent)`)
    await page.evaluate(`document.querySelector('#train').elements.stop.click()`)
    await until(page, `document.querySelector('#train-status').textContent === 'Stopped.'`)
  })

  test.each([
    ['a tiny Stable Diffusion', join(root, 'parity/fixtures/stable-diffusion/sd1'), 'StableDiffusionPipeline'],
    ['a DDPM', join(root, 'zoo/ddpm-faces-32'), 'DDPMPipeline'],
  ])('runs %s from a folder of the reader’s', async (_, folder, className) => {
    const { page } = browser
    const { result } = (await page.command('Runtime.evaluate', { expression: `document.querySelector('#own-folder')` })) as {
      result: { objectId: string }
    }
    await page.command('DOM.setFileInputFiles', { objectId: result.objectId, files: [folder] })
    await until(page, `document.querySelector('#own-model').textContent.startsWith('${className}')`)
    await page.evaluate(
      `(() => { const form = document.querySelector('#own'); form.elements.steps.value = 2; form.requestSubmit() })()`,
    )
    await until(page, `/^Drawn in/.test(document.querySelector('#own-status').textContent)`)
    await page.evaluate(`document.querySelector('#own-status').textContent = ''`)
  })

  test('nothing was refused by the policy', () => {
    expect(browser.page.said.filter((line) => /Content.Security.Policy|Refused/i.test(line))).toEqual([])
  })
})

describe.skipIf(missing)('the example for Vite', () => {
  test('is built from the package’s name and draws', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'langevin-vite-'))
    cpSync(join(root, 'examples/browser-vite'), folder, { recursive: true })
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(root, join(folder, 'node_modules/langevin'), 'junction')
    symlinkSync(webEngine as string, join(folder, 'node_modules/onnxruntime-web'), 'junction')
    const model = join(folder, 'public/stickers-t2i')
    cpSync(join(root, 'zoo/stickers-t2i'), model, { recursive: true })
    writeFileSync(join(model, 'files.json'), JSON.stringify(listingOf(model)))
    await build({
      root: folder,
      configFile: join(folder, 'vite.config.js'),
      logLevel: 'error',
      // The repository's sources stand for the published package, and look for ONNX Runtime where the example has it.
      resolve: {
        conditions: ['@langevin/source', 'module', 'browser', 'production'],
        alias: ['wasm', 'webgpu', 'jspi'].map((name) => ({
          find: `onnxruntime-web/${name}`,
          replacement: join(webEngine as string, `dist/ort.${name}.bundle.min.mjs`),
        })),
      },
    })
    const site = await serveSite({ folders: { '': join(folder, 'dist') } })
    const { page, close } = await startBrowser()
    try {
      await page.goto(site.url)
      await page.evaluate(`document.querySelector('form').requestSubmit()`)
      await until(page, `document.querySelector('[role=status]').textContent === 'Drawn.'`)
    } finally {
      await close()
      await site.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
