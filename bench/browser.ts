/*
 * A step of a bundled model in Chromium (WebAssembly, all threads) beside a step in Node, in turns, in one run:
 *
 *   node scripts/browser.mjs && node bench/browser.ts [model] [rounds]
 *
 * Prints the medians in milliseconds, their ratio, and how long the page could not answer at most. Only a quiet machine's numbers count.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadPipeline } from '../src/pipelines/load.ts'
import { buildPage } from '../tests/browser/build.ts'
import { startBrowser } from '../tests/browser/chromium.ts'
import { root, serveSite } from '../tests/browser/site.ts'

const [model = 'stickers-t2i', rounds = '3'] = process.argv.slice(2)
const STEPS = 12
const options = { steps: STEPS, seed: 0, ...(model === 'stickers-t2i' && { prompt: 'a red fox on a blue background' }) }

/** Milliseconds of each step but the first, which compiles. */
const stepsOf = (times: readonly number[]) => times.slice(2).map((time, i) => time - (times[i + 1] as number))

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number

const out = mkdtempSync(join(tmpdir(), 'langevin-bench-'))
await buildPage(join(root, 'tests/browser/page'), out)
const site = await serveSite({ folders: { '': out, zoo: join(root, 'zoo') } })
const browser = await startBrowser()
const pipeline = await loadPipeline(join(root, 'zoo', model))
const [node, page]: [number[], number[]] = [[], []]
const given = JSON.stringify({ source: { url: `/zoo/${model}` }, options })
try {
  await browser.page.goto(site.url)
  for (let round = 0; round < Number(rounds); round++) {
    const times: number[] = []
    for await (const _ of pipeline.generate(options)) times.push(performance.now())
    node.push(...stepsOf(times))
    page.push(...stepsOf((await browser.page.evaluate<{ times: number[] }>(`tests.draw(${given})`)).times))
  }
  const longestTask = await browser.page.evaluate<number>(`tests.longestTask(${given})`)
  const bytes = await browser.page.evaluate<number>('tests.memory()').catch(() => undefined)
  const [nodeStep, pageStep] = [median(node), median(page)]
  console.log(
    JSON.stringify({
      ...{ model, cores: availableParallelism(), load: loadavg()[0], nodeStep, pageStep, ratio: pageStep / nodeStep },
      ...{ longestTask, bytes },
    }),
  )
} finally {
  await pipeline.release()
  await browser.close()
  await site.close()
  rmSync(out, { recursive: true, force: true })
}
