import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, onTestFinished, test } from 'vitest'
import { checkpoint, fileOf, temporaryFolder } from '../../tests/checkpoints.ts'
import { LangevinError } from '../core/errors.ts'
import { parseHeader } from './header.ts'
import { legal } from './legal.fixture.ts'
import { openSafetensors, readTensor } from './safetensors.ts'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')
const held = () => {
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Mulberry32: small, seeded, good enough to mutate. */
function generator(seed: number) {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }
  const below = (n: number) => next() % n
  return { below, pick: <T>(from: readonly T[]): T => from[below(from.length)] as T }
}
type Random = ReturnType<typeof generator>

const u8 = (begin: number, end: number) => `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`
/** Good files, each with another part of the format; small, so that a mutation hits what matters. */
const corpus = [
  ...['dtypes', 'empty', 'plain'].map((name) => new Uint8Array(readFileSync(checkpoint(`${name}.safetensors`)))),
  fileOf(`{"a":${u8(0, 3)},"b":${u8(3, 7)},"c":${u8(7, 7)}}`, 7),
  fileOf(`{"__metadata__":{"k":"v","l":"\\u00e9\\\\"},"b":${u8(3, 4)},"a":${u8(0, 3)}}   `, 4),
  fileOf('{"x":{"dtype":"F32","shape":[2,1,2],"data_offsets":[0,16]},"y":{"shape":[],"data_offsets":[16,24],"dtype":"I64"}}', 24),
  fileOf(
    '{ "m" : {"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}, "n":{"dtype":"BF16","shape":[0,5],"data_offsets":[2,2]} }',
    2,
  ),
]

const numbers = [
  '0',
  '1',
  '2',
  '3',
  '4',
  '7',
  '8',
  '-1',
  '-0',
  '1.0',
  '1e3',
  '00',
  '2147483648',
  '4294967296',
  '9007199254740991',
  '9007199254740993',
  '18446744073709551615',
  '1e999',
  '9'.repeat(400),
]
const tokens = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  ' ',
  '\n',
  '\0',
  '\ufeff',
  'null',
  'true',
  '{}',
  '[]',
  '""',
  '"\\ud800"',
  '"__metadata__"',
  '"__proto__"',
  '"dtype"',
  '"F64"',
  '"F65"',
  '"U8"',
  '"a"',
  `"a":${u8(0, 1)},`,
  ',"shape":[1]',
  '['.repeat(500),
  '{"":'.repeat(500),
]

/** One change to a header's text that knows what JSON is. */
function mutateText(text: string, random: Random): string {
  const spots = (pattern: RegExp) => [...text.matchAll(pattern)]
  const replace = (spot: RegExpExecArray | undefined, by: string) =>
    spot ? text.slice(0, spot.index) + by + text.slice(spot.index + spot[0].length) : text
  const members = spots(/"[^"]*":(\{[^{}]*\}|"[^"]*"|\[[^\]]*\]),?/g)
  const at = random.below(text.length + 1)
  switch (random.below(8)) {
    case 0:
      return replace(random.pick(spots(/\d+/g)), random.pick(numbers))
    case 1:
      return text.slice(0, at) + random.pick(tokens) + text.slice(at)
    case 2:
      return replace(random.pick(spots(/"[^"]*"/g)), random.pick(tokens))
    case 3: // A member again, somewhere else
      return text.slice(0, at) + (random.pick(members)?.[0] ?? '') + text.slice(at)
    case 4:
      return replace(random.pick(members), '')
    case 5: // A key, or a text, in another's place
      return replace(random.pick(spots(/"[^"]*"/g)), random.pick(spots(/"[^"]*"/g))?.[0] ?? '')
    case 6:
      return replace(random.pick(spots(/[{}[\],:]/g)), random.pick(['{', '}', '[', ']', ',', ':', ' ', ', ', ' :']))
    default: // A number off by a little
      return text.replace(random.pick(spots(/\d+/g))?.[0] ?? 'none', (digits) => String(Number(digits) + random.below(3) - 1))
  }
}

/** One change that knows bytes only. */
function mutateBytes(file: Uint8Array, random: Random): Uint8Array {
  const a = random.below(file.length + 1)
  const b = Math.min(file.length, a + random.below(16))
  const other = random.pick(corpus)
  const c = random.below(other.length)
  switch (random.below(6)) {
    case 0:
      return file.with(Math.min(a, file.length - 1), random.below(256))
    case 1:
      return Uint8Array.from(file, (byte, i) => (i === a ? byte ^ (1 << random.below(8)) : byte))
    case 2:
      return Uint8Array.from([...file.subarray(0, a), ...file.subarray(b)])
    case 3:
      return Uint8Array.from([...file.subarray(0, b), ...file.subarray(a)])
    case 4:
      return file.slice(0, a)
    default:
      return Uint8Array.from([...file.subarray(0, a), ...other.subarray(c)])
  }
}

function mutant(random: Random): Uint8Array {
  let file = random.pick(corpus)
  for (let changes = 1 + random.below(3); changes > 0 && file.length > 0; changes--) {
    if (random.below(3) === 0 || file.length < 9) {
      file = mutateBytes(file, random)
      continue
    }
    const end = Math.min(file.length, 8 + new DataView(file.buffer).getUint32(0, true))
    const text = new TextDecoder().decode(file.subarray(8, end))
    if (text.length === 0) continue
    const changed = fileOf(mutateText(text, random), file.slice(end))
    // Now and then the length tells of the text before the change, or of none.
    const lie = random.below(16)
    if (lie === 0) changed.set(file.subarray(0, 8))
    if (lie === 1) changed[random.below(8)] = random.below(256)
    file = changed
  }
  return file
}

/** Every reason for a refusal; the fuzz must reach each. */
const rules = [
  /bytes are too few/,
  /where the format allows/,
  /the file is cut short/,
  /must start with '\{'/,
  /not valid UTF-8/,
  /a key must be a string/,
  /expected '[}:{]'/,
  /after the end of the header/,
  /duplicate key/,
  /maps strings to strings/,
  /does not end/,
  /bad escape/,
  /surrogate/,
  /unknown field/,
  /needs dtype/,
  /is not supported/,
  /two numbers/,
  /more than 2 numbers/,
  /expected integers/,
  /more than 2\^53 bytes/,
  /span/,
  /overlaps/,
  /leaves a hole/,
  /follow the last tensor/,
  /it is cut short/,
]

test('100,000 mutated files: refused with a typed error exactly when they break a rule, in bounded memory', {
  timeout: 60_000,
}, () => {
  const random = generator(1)
  const reached = new Set<RegExp>()
  let accepted = 0
  let before = 0
  for (let i = 0; i < 100_000; i++) {
    if (i === 20_000) before = held()
    const file = mutant(random)
    let error: unknown
    try {
      parseHeader(file, file.length)
      accepted++
    } catch (thrown) {
      error = thrown
      if (!(thrown instanceof LangevinError))
        throw new Error(`file ${i}: ${JSON.stringify(Buffer.from(file).toString('latin1'))}`, { cause: thrown })
      const message = thrown.message
      if (message.length > 1000) throw new Error(`file ${i}: a message of ${message.length} characters`)
      for (const rule of rules) if (rule.test(message)) reached.add(rule)
    }
    if ((error === undefined) !== legal(file)) {
      throw new Error(
        `file ${i}: ${JSON.stringify(Buffer.from(file).toString('latin1'))} should be ${error ? 'legal' : 'refused'}`,
        { cause: error },
      )
    }
  }
  expect(held() - before).toBeLessThan(8e6)
  expect(accepted).toBeGreaterThan(5_000)
  expect(accepted).toBeLessThan(60_000)
  expect(rules.filter((rule) => !reached.has(rule))).toEqual([])
})

test('3,000 of them through the disk, their tensors read', { timeout: 60_000 }, () => {
  const random = generator(2)
  const path = join(temporaryFolder(), 'a.safetensors')
  // One file, rewritten in place: new files wait for the disk whenever another process syncs.
  const fd = openSync(path, 'w')
  onTestFinished(() => closeSync(fd))
  let tensorsRead = 0
  for (let i = 0; i < 3_000; i++) {
    const file = mutant(random)
    writeSync(fd, file, 0, file.length, 0)
    ftruncateSync(fd, file.length)
    try {
      for (const tensor of openSafetensors(path).tensors.values()) tensorsRead += readTensor(tensor).size >= 0 ? 1 : 0
    } catch (error) {
      if (!(error instanceof LangevinError)) throw new Error(`file ${i}`, { cause: error })
    }
  }
  expect(tensorsRead).toBeGreaterThan(300)
})

test('what a file claims is never allocated', () => {
  const path = join(temporaryFolder(), 'a.safetensors')
  const huge = `{"a":{"dtype":"F32","shape":[${2 ** 46}],"data_offsets":[0,${2 ** 48}]}}`
  const claims = [
    fileOf(huge, 4),
    fileOf('{}'.padEnd(64)),
    fileOf(`{"a":{"dtype":"U8","shape":[${'9,'.repeat(60)}9],"data_offsets":[0,1]}}`, 1),
  ]
  new DataView(claims[1]!.buffer).setBigUint64(0, 99_999_999n, true)
  const before = process.memoryUsage().arrayBuffers
  for (const file of claims) {
    writeFileSync(path, file)
    expect(() => openSafetensors(path)).toThrow(LangevinError)
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e6)
})

test.each([
  ['one string', '"', 'a'],
  ['open brackets', '"a":{"shape":', '['],
  ['open braces', '"a":', '{'],
  ['an endless shape', '"a":{"dtype":"U8","shape":[0', ',0'],
  ['digits', '"a":{"dtype":"U8","shape":[', '1'],
  ['backslashes', '"', '\\'],
  ['white space', '', ' '],
])('a header of 40 MB, %s: refused, and the peak of memory grows by little more than its text', (_, start, filling) => {
  const file = fileOf(Buffer.from(`{${start}`.padEnd(40e6, filling)))
  const peak = () => process.resourceUsage().maxRSS * 1024
  const before = peak()
  expect(() => parseHeader(file, file.length)).toThrow(LangevinError)
  expect(peak() - before).toBeLessThan(100e6)
})
