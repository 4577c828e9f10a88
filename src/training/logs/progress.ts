import { SingleBar } from 'cli-progress'

/** Where progress is shown. */
export interface ProgressStream {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export interface ProgressOptions {
  /** The step that ends the run, and the one that it starts after. */
  readonly total: number
  readonly start?: number
  /** How many of `unit` a step works on, for the throughput: `{ unit: 'img', perStep: batchSize }`. */
  readonly unit?: string
  readonly perStep?: number
  readonly stream?: ProgressStream
  /** Milliseconds between two lines where the stream is no terminal. */
  readonly every?: number
  /** Milliseconds, from any origin. */
  readonly now?: () => number
}

export interface Progress {
  /** Shows a step's numbers, `{ loss: 0.031 }`. */
  update(step: number, values?: Readonly<Record<string, number>>): void
  /** Ends the bar, so that other output starts on a line of its own. */
  stop(): void
}

/** Throughput is taken over the last half minute: steady, and right again soon after a pause. */
const window = 30_000

/** 42 s, 2 min 05 s, 3 h 20 min. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds))
  const two = (n: number) => String(n).padStart(2, '0')
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`
  return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`
}

/** 0.123, 80.0, 6040: never with an exponent. */
const threeDigits = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3))

/** A bar with a step's numbers, throughput and time left; on anything but a terminal, now and then a plain line. */
export function progress(options: ProgressOptions): Progress {
  const {
    total,
    start = 0,
    unit = 'step',
    perStep = 1,
    stream = process.stderr,
    every = 10_000,
    now = () => performance.now(),
  } = options
  const began: readonly [time: number, step: number] = [now(), start]
  let seen = [began]

  const line = (step: number, values: Readonly<Record<string, number>>) => {
    const time = now()
    const [then, from] = seen[0] ?? began
    const rate = ((step - from) / (time - then)) * 1000
    seen.push([time, step])
    while (seen[1] && time - seen[1][0] >= window) seen = seen.slice(1)
    // Of the first moments a rate says nothing.
    const speed = rate > 0 && time - then >= 500
    return [
      `${step}/${total}`,
      ...Object.entries(values).map(([name, value]) => `${name} ${value.toPrecision(4)}`),
      ...(speed ? [`${threeDigits(rate * perStep)} ${unit}/s`] : []),
      ...(speed && step < total ? [`${duration((total - step) / rate)} left`] : []),
    ].join(' · ')
  }

  return stream.isTTY ? bar(line, stream, total, start) : lines(line, stream, total, every, now)
}

type Line = (step: number, values: Readonly<Record<string, number>>) => string

function bar(line: Line, stream: ProgressStream, total: number, start: number): Progress {
  const shown = new SingleBar({
    format: '{bar} {percentage}% {line}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    gracefulExit: false,
    stream: stream as NodeJS.WritableStream,
  })
  shown.start(total, start, { line: `${start}/${total}` })
  return {
    update: (step, values = {}) => shown.update(step, { line: line(step, values) }),
    stop: () => shown.stop(),
  }
}

function lines(line: Line, stream: ProgressStream, total: number, every: number, now: () => number): Progress {
  let last = Number.NEGATIVE_INFINITY
  return {
    update(step, values = {}) {
      const text = line(step, values)
      if (step < total && now() - last < every) return
      last = now()
      stream.write(`${text}\n`)
    },
    stop: () => {},
  }
}
