import { ArgumentError } from '../core/errors.ts'
import { fontFamily, loadFonts } from './fonts.ts'
import { type Pixels, toRgb } from './pixels.ts'
import { drawSvg } from './svg.ts'

export interface ChartAxis {
  readonly name: string
  /** Put behind the name in brackets: `s`, `nats`, `steps`. */
  readonly unit?: string
  readonly scale?: 'linear' | 'log'
  /** Where the axis starts and ends; by the data where absent. */
  readonly min?: number
  readonly max?: number
}

export interface ChartSeries {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** For noisy curves: the mean of this many points is drawn, and the points themselves faintly behind it. */
  readonly average?: number
  readonly dashed?: boolean
  /** Marks every point, as suits a few of them. */
  readonly markers?: boolean
}

export interface LineChart {
  readonly title: string
  /** A smaller line under the title. */
  readonly subtitle?: string
  readonly x: ChartAxis
  readonly y: ChartAxis
  readonly series: readonly ChartSeries[]
  /** Size in CSS pixels; 800 × 450 by default. The picture has twice as many pixels a side. */
  readonly width?: number
  readonly height?: number
}

/** Colours that stay apart for colour-blind eyes and in print. */
const palette = ['#2563eb', '#e2572b', '#0f9d8a', '#8b5cf6', '#c58a00', '#db2777', '#64748b']
const ink = { title: '#0f172a', text: '#475569', axis: '#94a3b8', grid: '#dfe4ec', faint: '#f1f4f8' }

/**
 * A line chart as a picture, twice the pixels of its CSS size.
 *
 * @returns pixels [2 · height, 2 · width, 3]
 * @throws ArgumentError for a chart without points, a point that is not finite, or one at or below 0 on a logarithmic axis
 */
export async function drawChart(chart: LineChart): Promise<Pixels> {
  const svg = await chartSvg(chart)
  await loadFonts()
  const { width = 800, height = 450 } = chart
  const doubled = svg.replace(/width="[^"]*" height="[^"]*"/, `width="${2 * width}" height="${2 * height}"`)
  return toRgb(await drawSvg(doubled, `chart "${chart.title}"`))
}

/** The chart as an SVG document, whose texts ask for the font Inter. @throws ArgumentError as `drawChart` */
export async function chartSvg(chart: LineChart): Promise<string> {
  for (const series of chart.series) checkPoints(chart, series)
  if (!chart.series.some(({ points }) => points.length > 0)) throw new ArgumentError(`chart "${chart.title}": no points`)
  const { renderSvg } = await import('./echarts.ts')
  const { width = 800, height = 450 } = chart
  const legend = chart.series.length > 1
  const top = 26 + (chart.subtitle ? 20 : 0)
  const below = legend ? 54 + 24 * (legendRows(chart, width - 40) - 1) : 28
  return renderSvg(
    {
      animation: false,
      backgroundColor: '#ffffff',
      textStyle: { fontFamily },
      color: palette,
      title: {
        text: chart.title,
        subtext: chart.subtitle ?? '',
        left: 20,
        top: 14,
        itemGap: 6,
        textStyle: { fontSize: 18, fontWeight: 600, color: ink.title },
        subtextStyle: { fontSize: 13, color: ink.text },
      },
      ...(legend
        ? {
            legend: {
              data: chart.series.map(({ name }) => name),
              left: 20,
              top: top + 16,
              itemWidth: 24,
              itemGap: 18,
              itemStyle: { opacity: 0 },
              lineStyle: { width: 3 },
              textStyle: { fontSize: 13, color: ink.text },
            },
          }
        : {}),
      grid: { left: 24, right: 36, top: top + below, bottom: 18, outerBoundsMode: 'same' },
      xAxis: axisOption(chart, 'x'),
      yAxis: axisOption(chart, 'y'),
      series: chart.series.flatMap(seriesOption),
    },
    width,
    height,
  )
}

/** Rows of the legend: a symbol, a gap and about 7.5 pixels a letter for every series. */
function legendRows({ series }: LineChart, width: number): number {
  let [rows, used] = [1, 0]
  for (const { name } of series) {
    const wide = 24 + 5 + 7.5 * name.length
    if (used > 0 && used + wide > width) [rows, used] = [rows + 1, 0]
    used += wide + 18
  }
  return rows
}

function checkPoints({ title, x, y }: LineChart, { name, points }: ChartSeries): void {
  for (const [i, [u, v]] of points.entries()) {
    const place = `chart "${title}", series "${name}", point ${i} (${u}, ${v})`
    if (!Number.isFinite(u) || !Number.isFinite(v)) throw new ArgumentError(`${place}: not finite`)
    if ((x.scale === 'log' && u <= 0) || (y.scale === 'log' && v <= 0))
      throw new ArgumentError(`${place}: a logarithmic axis holds numbers above 0 only`)
  }
}

function axisOption(chart: LineChart, which: 'x' | 'y') {
  const { name, unit, scale = 'linear', ...fixed } = chart[which]
  const along = which === 'x'
  const log = scale === 'log'
  const values = chart.series.flatMap(({ points }) => points.map((point) => point[along ? 0 : 1]))
  const [least, most] = values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity])
  // Along x the curves fill the width; a logarithmic y axis ends at 1, 2 or 5 times a power of ten, not at the power.
  const spread = least < most
  const min = fixed.min ?? (!spread ? undefined : log ? roundLog(least, Math.floor) : along ? least : undefined)
  const max = fixed.max ?? (!spread ? undefined : log && !along ? roundLog(most, Math.ceil) : along ? most : undefined)
  return {
    type: log ? 'log' : 'value',
    name: unit ? `${name} (${unit})` : name,
    nameLocation: 'middle',
    nameGap: 10,
    nameMoveOverlap: true,
    nameTextStyle: { fontSize: 13, color: ink.text },
    scale: true,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    axisLine: { show: along, onZero: false, lineStyle: { color: ink.axis } },
    axisTick: { show: along, lineStyle: { color: ink.axis } },
    axisLabel: {
      fontSize: 12,
      color: ink.text,
      hideOverlap: true,
      formatter: formatNumber,
      showMinLabel: min === undefined || isRound(min),
      showMaxLabel: max === undefined || isRound(max),
    },
    splitLine: { show: !along, lineStyle: { color: ink.grid } },
    minorTick: { show: log && along },
    minorSplitLine: { show: log && !along, lineStyle: { color: ink.faint } },
  }
}

/** The next of 1, 2, 5 times a power of ten below (floor) or above (ceil). */
function roundLog(value: number, towards: (x: number) => number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  const steps = [1, 2, 5, 10].map((step) => Number((step * power).toPrecision(1)))
  return (towards === Math.ceil ? steps.find((step) => step >= value) : steps.findLast((step) => step <= value)) ?? value
}

/** Whether a number looks well at the end of an axis: at most two digits that are not 0. */
const isRound = (value: number) => Number(value.toPrecision(2)) === value

function seriesOption({ name, points, average = 1, dashed = false, markers = false }: ChartSeries, i: number) {
  const color = palette[i % palette.length]
  const line = {
    type: 'line',
    sampling: 'lttb',
    showSymbol: markers,
    symbol: 'circle',
    symbolSize: 7,
    itemStyle: { color },
  }
  const main = {
    ...line,
    name,
    z: 3,
    data: average > 1 ? movingAverage(points, average) : points,
    lineStyle: { width: 2.4, color, type: dashed ? 'dashed' : 'solid', join: 'round' },
  }
  if (average <= 1) return [main]
  return [{ ...line, showSymbol: false, z: 2, data: points, lineStyle: { width: 1, color, opacity: 0.25 } }, main]
}

/** The mean of `span` points around each; near the ends, of those that there are. */
export function movingAverage(points: ChartSeries['points'], span: number): [number, number][] {
  const sums = [0]
  for (const [, y] of points) sums.push((sums.at(-1) as number) + y)
  const before = Math.floor((span - 1) / 2)
  return points.map(([x], i) => {
    const first = Math.max(0, i - before)
    const end = Math.min(points.length, i - before + span)
    return [x, ((sums[end] as number) - (sums[first] as number)) / (end - first)]
  })
}

/** Tick labels: thousands set apart, small and large powers of ten as such. */
function formatNumber(value: number): string {
  const size = Math.abs(value)
  if (value !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential().replace('e+', 'e')
  return Number(value.toPrecision(6)).toLocaleString('en-US', { maximumFractionDigits: 10 })
}
