import { at, colour } from './dom.ts'

const REACH = 2

/** Data in grey below, samples in colour. */
export function drawPoints(data: Float32Array, samples?: Float32Array): void {
  const canvas = at<HTMLCanvasElement>('train-points')
  const context = canvas.getContext('2d') as CanvasRenderingContext2D
  const { width, height } = canvas
  context.clearRect(0, 0, width, height)
  for (const [points, fill] of [
    [data, colour('points')],
    [samples, colour('accent')],
  ] as const) {
    if (!points) continue
    context.fillStyle = fill
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = [points[i] as number, points[i + 1] as number]
      context.beginPath()
      context.arc(((x + REACH) / (2 * REACH)) * width, ((REACH - y) / (2 * REACH)) * height, 2.5, 0, 2 * Math.PI)
      context.fill()
    }
  }
}

/** Losses averaged to a point a pixel, from 0 up to the largest. */
export function drawLosses(losses: readonly number[], steps: number): void {
  const canvas = at<HTMLCanvasElement>('train-losses')
  const context = canvas.getContext('2d') as CanvasRenderingContext2D
  const { width, height } = canvas
  const [left, right, top, bottom] = [52, width - 12, 16, height - 36]
  context.clearRect(0, 0, width, height)
  context.font = '18px system-ui, sans-serif'
  context.fillStyle = colour('quiet')
  const bin = Math.max(1, Math.ceil(steps / 200))
  const means: number[] = []
  for (let i = 0; i < losses.length; i += bin) {
    const part = losses.slice(i, i + bin)
    means.push(part.reduce((sum, loss) => sum + loss, 0) / part.length)
  }
  const largest = Math.max(...means, 0.1)
  context.textBaseline = 'middle'
  context.textAlign = 'right'
  context.strokeStyle = colour('line')
  context.lineWidth = 1
  for (const share of [0, 0.5, 1]) {
    const y = bottom - share * (bottom - top)
    context.fillText((share * largest).toFixed(1), left - 8, y)
    context.beginPath()
    context.moveTo(left, y)
    context.lineTo(right, y)
    context.stroke()
  }
  context.textBaseline = 'top'
  context.fillText(`${steps} steps`, right, bottom + 10)
  context.strokeStyle = colour('accent')
  context.lineWidth = 3
  context.beginPath()
  for (const [i, loss] of means.entries())
    context.lineTo(left + ((i * bin) / steps) * (right - left), bottom - (loss / largest) * (bottom - top))
  context.stroke()
}
