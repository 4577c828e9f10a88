import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ArgumentError } from '../../core/errors.ts'
import { crc32c, record, tensorBoardLog } from './tensorboard.ts'

const fixture = JSON.parse(readFileSync(resolve(import.meta.dirname, '../../../parity/fixtures/tensorboard_events.json'), 'utf8'))

let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'langevin-tensorboard-'))
})

afterEach(() => {
  vi.useRealTimers()
  rmSync(folder, { recursive: true })
})

test('CRC-32C of the examples in RFC 3720, appendix B.4', () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e)
})

test('a record is its data between lengths and checksums', () => {
  const bytes = record(Uint8Array.of(1, 2, 3))
  expect(bytes.length).toBe(8 + 4 + 3 + 4)
  expect([...bytes.subarray(0, 8), ...bytes.subarray(12, 15)]).toEqual([3, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3])
})

test("the file is TensorBoard's own, byte for byte", () => {
  vi.useFakeTimers({ now: fixture.wallTime * 1000, toFake: ['Date'] })
  const log = tensorBoardLog(folder, { resumeStep: fixture.resumeStep })
  for (const [tag, value, step] of fixture.scalars)
    log.scalar(tag, value === 'inf' ? Number.POSITIVE_INFINITY : Number(value), step)
  const [tag, png, step] = fixture.image
  log.image(tag, Buffer.from(png, 'base64'), step)
  log.text(...(fixture.text as [string, string, number]))
  const [name] = readdirSync(folder)
  // Read before the log is closed: a killed run loses nothing.
  expect(readFileSync(join(folder, name!)).toString('base64')).toBe(fixture.file)
  log.close()
})

test('files of one second, or of a clock set back, are read in the order of writing', () => {
  vi.useFakeTimers({ now: 2e12, toFake: ['Date'] })
  tensorBoardLog(folder).close()
  vi.setSystemTime(1e12)
  tensorBoardLog(folder, { resumeStep: 3 }).close()
  const [first, second] = readdirSync(folder).sort()
  expect(first).toMatch(/^events\.out\.tfevents\.2000000000\./)
  expect(second).toMatch(/^events\.out\.tfevents\.2000000001\./)
  expect(readFileSync(join(folder, second!)).length).toBeGreaterThan(readFileSync(join(folder, first!)).length)
})

test('only PNG bytes are taken for a picture', () => {
  const log = tensorBoardLog(folder)
  expect(() => log.image('a', new Uint8Array(100), 1)).toThrow(ArgumentError)
  log.close()
})
