import { expect, test } from 'vitest'
import { duration, type ProgressOptions, progress } from './progress.ts'

/** A stream that keeps what it gets, and a clock set by hand. */
function setting(options: Partial<ProgressOptions> & { isTTY?: boolean } = {}) {
  const clock = { time: 5000 }
  const written: string[] = []
  const { isTTY = false, ...rest } = options
  const stream = { isTTY, columns: 120, write: (text: string) => written.push(text) }
  return { clock, written, shown: progress({ total: 1000, stream, now: () => clock.time, ...rest }) }
}

test('durations', () => {
  expect([0, 59.4, 60, 125, 3599, 3600, 12_000].map(duration)).toEqual([
    '0 s',
    '59 s',
    '1 min 00 s',
    '2 min 05 s',
    '59 min 59 s',
    '1 h 00 min',
    '3 h 20 min',
  ])
})

test('plain lines come now and then, and for the last step', () => {
  const { clock, written, shown } = setting({ unit: 'img', perStep: 8 })
  for (let step = 1; step <= 1000; step++) {
    clock.time += 100
    shown.update(step, { loss: 0.5 })
  }
  shown.stop()
  expect(written).toHaveLength(11)
  expect(written[1]).toBe('101/1000 · loss 0.5000 · 80.0 img/s · 1 min 30 s left\n')
  expect(written[10]).toBe('1000/1000 · loss 0.5000 · 80.0 img/s\n')
})

test('a resumed run counts its own steps, and a pause is forgotten after half a minute', () => {
  const { clock, written, shown } = setting({ start: 900, every: 0 })
  clock.time += 1000
  shown.update(901)
  expect(written.at(-1)).toBe('901/1000 · 1.00 step/s · 1 min 39 s left\n')
  clock.time += 600_000
  shown.update(902)
  for (let step = 903; step < 950; step++) {
    clock.time += 1000
    shown.update(step)
  }
  expect(written.at(-1)).toBe('949/1000 · 1.00 step/s · 51 s left\n')
})

test('before any time has passed no speed is claimed', () => {
  const { written, shown } = setting()
  shown.update(0, { loss: Number.NaN })
  expect(written).toEqual(['0/1000 · loss NaN\n'])
})

test('the first moments have no speed, and a great one has no exponent', () => {
  const { clock, written, shown } = setting({ every: 0, total: 100_000 })
  clock.time += 1
  shown.update(6)
  clock.time += 999
  shown.update(6040)
  expect(written).toEqual(['6/100000\n', '6040/100000 · 6040 step/s · 16 s left\n'])
})

test('a terminal gets a bar', () => {
  const { clock, written, shown } = setting({ isTTY: true })
  clock.time += 1000
  shown.update(500, { loss: 0.25 })
  shown.stop()
  expect(written.join('')).toContain('50% 500/1000 · loss 0.2500')
})
