import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { chartSvg, drawChart, type LineChart, movingAverage } from './chart.ts'
import { decodePixels } from './decode.ts'
import { encodePng } from './encode.ts'
import type { Pixels } from './pixels.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-chart-'))
afterAll(() => rmSync(desk, { recursive: true, force: true }))

const chart: LineChart = {
  title: 'Loss of σ & <friends>',
  subtitle: 'two runs',
  x: { name: 'step' },
  y: { name: 'loss', unit: 'nats', scale: 'log' },
  series: [
    { name: 'training', points: Array.from({ length: 900 }, (_, i) => [i, 1 / (1 + i / 50) + (i % 7) / 100]), average: 21 },
    {
      name: 'held out',
      points: [
        [0, 1],
        [450, 0.2],
        [899, 0.1],
      ],
      dashed: true,
      markers: true,
    },
  ],
}

/** How many pixels are nearly of a colour. */
function count({ data }: Pixels, colour: readonly number[]): number {
  let n = 0
  for (let i = 0; i < data.length; i += 3) if (colour.every((level, c) => Math.abs((data[i + c] as number) - level) < 12)) n++
  return n
}

test('title, axes with units, legend and ticks are in the document', async () => {
  const svg = await chartSvg(chart)
  const texts = [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text)
  for (const text of [
    'Loss of σ &amp; &lt;friends&gt;',
    'two runs',
    'step',
    'loss (nats)',
    'training',
    'held out',
    '0.1',
    '1',
    '200',
  ])
    expect(texts).toContain(text)
  const single = await chartSvg({ ...chart, series: chart.series.slice(1) })
  expect(single).not.toContain('>held out<')
})

test('a picture of twice the size, with the curves in it', async () => {
  const pixels = await drawChart({ ...chart, width: 500, height: 300 })
  expect(pixels.shape).toEqual([600, 1000, 3])
  expect(count(pixels, [255, 255, 255])).toBeGreaterThan(0.8 * 600 * 1000)
  expect(count(pixels, [0x25, 0x63, 0xeb])).toBeGreaterThan(500)
  expect(count(pixels, [0xe2, 0x57, 0x2b])).toBeGreaterThan(300)
  const without = await drawChart({ ...chart, width: 500, height: 300, series: chart.series.slice(0, 1) })
  expect(count(without, [0xe2, 0x57, 0x2b])).toBe(0)
})

test('texts are the same on a machine without fonts', async () => {
  const bare = { ...chart, width: 300, height: 200, subtitle: '' }
  const config = join(desk, 'fonts.conf')
  writeFileSync(config, `<?xml version="1.0"?><fontconfig><cachedir>${desk}</cachedir></fontconfig>`)
  const program = join(desk, 'draw.ts')
  const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href)
  writeFileSync(
    program,
    `import { drawChart } from ${here('./chart.ts')}
     import { encodePng } from ${here('./encode.ts')}
     process.stdout.write((await encodePng(await drawChart(${JSON.stringify(bare)}))).toString('base64'))`,
  )
  const env = { ...process.env, FONTCONFIG_FILE: config, NODE_OPTIONS: '' }
  const drawn = execFileSync(process.execPath, ['--no-warnings', program], { encoding: 'utf8', env })
  const pixels = await decodePixels(Buffer.from(drawn, 'base64'))
  expect(pixels.data).toEqual((await decodePixels(await encodePng(await drawChart(bare)))).data)

  // Where a font is missing every letter is the same box: i and W would leave the same ink.
  const ink = async (title: string) => count(await drawChart({ ...bare, title }), [0x0f, 0x17, 0x2a])
  expect(await ink('WWWWWWWW')).toBeGreaterThan(1.5 * (await ink('iiiiiiii')))
})

test('what cannot be drawn is refused with its place', async () => {
  const of = (points: readonly (readonly [number, number])[], y: LineChart['y'] = chart.y) =>
    chartSvg({ ...chart, y, series: [{ name: 'a', points }] })
  await expect(of([])).rejects.toThrow(ArgumentError)
  await expect(of([[0, 0]])).rejects.toThrow('series "a", point 0 (0, 0): a logarithmic axis')
  await expect(of([[0, 0]], { name: 'y' })).resolves.toContain('<svg')
  await expect(
    of([
      [0, 1],
      [1, Number.NaN],
    ]),
  ).rejects.toThrow('point 1 (1, NaN): not finite')
  expect(await of([[3, 5]])).not.toContain('NaN')
})

test('a moving average keeps a constant and the mean of a ramp, and has as many points', () => {
  const ramp = Array.from({ length: 11 }, (_, i) => [i * 2, i] as const)
  const average = movingAverage(ramp, 5)
  expect(average.map(([x]) => x)).toEqual(ramp.map(([x]) => x))
  expect(average.slice(2, 9).map(([, y]) => y)).toEqual([2, 3, 4, 5, 6, 7, 8])
  expect(average[0]).toEqual([0, 1])
  expect(movingAverage(ramp, 1)).toEqual(ramp)
  for (const [, y] of movingAverage(
    ramp.map(([x]) => [x, 4] as const),
    4,
  ))
    expect(y).toBe(4)
})
