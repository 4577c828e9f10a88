import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSettings } from '../../src/images/index.ts'
import { dataFolder, type Served, startServe } from '../../tests/serve/process.ts'

// The studio in a real browser, on a real server: what its users do. Screenshots go to .cache/studio/screenshots, to be looked at.

const root = resolve(import.meta.dirname, '../..')
const executablePath = ['chromium', 'chromium-browser', 'google-chrome']
  .flatMap((name) => ['/usr/bin', '/usr/local/bin', '/opt/google/chrome'].map((folder) => join(folder, name)))
  .concat(process.env.CHROMIUM ?? [])
  .findLast(existsSync)
const shots = join(root, '.cache/studio/screenshots')

let browser: Browser
let served: Served
let axe: string
const data = dataFolder()
const picture = '.frame img:not([alt="How far it is"])'
const errors: string[] = []

beforeAll(async () => {
  if (executablePath === undefined) return
  const built = spawnSync(process.execPath, ['scripts/studio.mjs'], { cwd: root, encoding: 'utf8' })
  if (built.status !== 0) throw new Error(built.stderr)
  const from = createRequire(join(root, 'studio/package.json'))
  const { chromium } = from('playwright-core') as typeof import('playwright-core')
  axe = readFileSync(from.resolve('axe-core/axe.min.js'), 'utf8')
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  served = await startServe(['--threads', '1'], { data, key: '' })
  mkdirSync(shots, { recursive: true })
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await served?.stop()
  rmSync(data, { recursive: true, force: true })
})

async function opened(path = '', width = 1280): Promise<Page> {
  const page = await browser.newPage({ viewport: { width, height: 860 }, acceptDownloads: true })
  page.on('pageerror', ({ message }) => errors.push(message))
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text())
  })
  await page.goto(`${served.url}/studio/${path}`)
  return page
}

/** Makes a picture of few steps on the page Make. */
async function make(page: Page, prompt: string): Promise<void> {
  await page.getByLabel('Prompt', { exact: true }).fill(prompt)
  await page.getByLabel('Steps').fill('3')
  await page.getByRole('button', { name: 'Make', exact: true }).click()
  await page.locator(picture).and(page.getByAltText(prompt)).waitFor({ timeout: 120_000 })
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe)
  return page.evaluate(async () => {
    const { axe: own } = window as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> }
    }
    const found = await own.run()
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`)
  })
}

describe.skipIf(executablePath === undefined)('the studio (needs a Chromium: apt-get install chromium)', () => {
  test('from opening to a saved picture, and all of its settings into the form again', async () => {
    const page = await opened()
    await page.getByText('Nothing made yet').waitFor()
    await make(page, 'a red fox on a blue background')
    await page.screenshot({ path: join(shots, 'make.png') })
    const saving = page.waitForEvent('download')
    await page.getByRole('link', { name: 'Save' }).click()
    const file = await (await saving).path()
    const bytes = readFileSync(file)
    expect(await readSettings(bytes)).toMatchObject({ prompt: 'a red fox on a blue background', settings: { Steps: '3' } })

    await page.getByLabel('Prompt', { exact: true }).fill('something else')
    await page.getByRole('link', { name: 'Gallery' }).click()
    await page.getByRole('button', { name: 'Look at: a red fox on a blue background' }).click()
    await page.screenshot({ path: join(shots, 'gallery.png') })
    await page.getByRole('button', { name: 'Use all' }).click()
    await expect.poll(() => page.getByLabel('Prompt', { exact: true }).inputValue()).toBe('a red fox on a blue background')
    expect(await page.getByLabel('Steps').inputValue()).toBe('3')

    // The same from the saved file, dropped on the gallery.
    await page.getByLabel('Prompt', { exact: true }).fill('something else')
    await page.getByRole('link', { name: 'Gallery' }).click()
    await page.getByText('Drop a picture here').waitFor()
    const transfer = await page.evaluateHandle((base64) => {
      const own = new DataTransfer()
      own.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], 'fox.png', { type: 'image/png' }))
      return own
    }, bytes.toString('base64'))
    await page.getByText('Drop a picture here').dispatchEvent('drop', { dataTransfer: transfer })
    await expect.poll(() => page.getByLabel('Prompt', { exact: true }).inputValue()).toBe('a red fox on a blue background')
    await page.close()
  })

  test('the queue pauses, changes its order and goes on; a deletion is undone', async () => {
    const page = await opened('queue')
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByText('Paused').waitFor()
    await page.getByRole('link', { name: 'Make' }).click()
    for (const prompt of ['a cat on red', 'a star on green']) {
      await page.getByLabel('Prompt', { exact: true }).fill(prompt)
      await page.getByLabel('Steps').fill('3')
      await page.getByRole('button', { name: 'Make', exact: true }).click()
      await page.getByText('Waiting for its turn').first().waitFor()
    }
    await page.getByRole('link', { name: 'Queue' }).click()
    const rows = page.getByRole('region', { name: /Waits/ }).getByRole('listitem')
    await expect.poll(() => rows.count()).toBe(2)
    expect(await rows.first().innerText()).toContain('a cat on red')
    await rows.last().getByRole('button', { name: 'To the front' }).click()
    await expect.poll(() => rows.first().innerText()).toContain('a star on green')
    await page.screenshot({ path: join(shots, 'queue.png') })
    await page.getByRole('button', { name: 'Go on' }).click()
    await page.getByText('Nothing waits').waitFor({ timeout: 120_000 })

    await page.getByRole('link', { name: 'Gallery' }).click()
    await page.getByRole('button', { name: 'Look at: a cat on red' }).click()
    await page.getByRole('button', { name: 'Delete' }).click()
    await expect.poll(() => page.getByRole('button', { name: 'Look at: a cat on red' }).count()).toBe(0)
    await page.getByRole('button', { name: 'Undo' }).click()
    await page.getByRole('button', { name: 'Look at: a cat on red' }).waitFor()
    await page.getByLabel('Search').fill('star green')
    await expect.poll(() => page.getByRole('button', { name: /Look at/ }).count()).toBe(1)
    await page.close()
  })

  test('scripts in prompts stay words', async () => {
    const page = await opened()
    const prompt = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
    await make(page, prompt)
    await page.getByRole('link', { name: 'Gallery' }).click()
    await page.getByRole('button', { name: /Look at: <img/ }).click()
    expect(await page.title()).not.toContain('owned')
    await page.close()
  })

  test.each(['make', 'gallery', 'queue', 'theory'])(
    '%s: nothing that axe complains of, in light and dark, and no sideways scrolling on a phone',
    async (path) => {
      for (const [width, colorScheme] of [
        [1280, 'light'],
        [1280, 'dark'],
        [390, 'light'],
      ] as const) {
        const page = await opened(path, width)
        await page.emulateMedia({ colorScheme })
        await page.getByRole('heading', { level: 1 }).waitFor()
        await page.waitForTimeout(500)
        await page.screenshot({ path: join(shots, `${path}-${colorScheme}-${width}.png`), fullPage: true })
        expect(await violations(page), `${colorScheme} ${width}`).toEqual([])
        expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true)
        await page.close()
      }
    },
  )

  test('two samplers go back from the same noise; more steps bring them nearer to the data', async () => {
    const page = await opened('theory')
    const distances = async () =>
      (await page.getByText(/energy distance/).allInnerTexts())
        .flatMap((text) => /distance ([\d.]+)/.exec(text)?.[1] ?? [])
        .map(Number)
    await page.getByRole('textbox', { name: 'Steps' }).fill('2')
    await expect.poll(async () => (await page.getByText(/^2 evaluations/).count()) > 1).toBe(true)
    const few = await distances()
    await page.getByRole('textbox', { name: 'Steps' }).fill('40')
    await expect.poll(async () => (await page.getByText(/^40 evaluations/).count()) > 1).toBe(true)
    const many = await distances()
    expect(few).toHaveLength(2)
    for (const [i, distance] of many.entries()) expect(distance).toBeLessThan((few[i] as number) / 2)
    await page.screenshot({ path: join(shots, 'theory.png'), fullPage: true })
    await page.close()
  })

  test('no page told of an error', () => {
    expect(errors).toEqual([])
  })
})
