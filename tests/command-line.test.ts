import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import { main, program } from '../src/cli/program.ts'
import { encodePng } from '../src/images/index.ts'
import { NdArray } from '../src/runtime/index.ts'
import { hub, model } from './fake-hub.ts'

// Flags, files and folders as they come from people and programs: whatever is wrong with them, a command ends with a documented
// exit code and a message in words, never with a stack or the raw error of a library.

const desk = mkdtempSync(join(tmpdir(), 'langevin-test-'))
afterAll(() => rmSync(desk, { recursive: true, force: true }))
const at = (name: string) => join(desk, name)
// `cache clear` clears a cache of its own, and `pull` reaches a hub of this machine that has one model.
beforeEach(async () => {
  vi.unstubAllEnvs()
  vi.stubEnv('LANGEVIN_CACHE', at('cache'))
  vi.stubEnv('HF_HUB_CACHE', at('hub'))
  vi.stubEnv('HF_ENDPOINT', (await hub()).endpoint)
})
mkdirSync(at('empty'))
mkdirSync(at('model'))
mkdirSync(at('broken'))
symlinkSync(at('loop'), at('loop'))
symlinkSync(at('broken'), at('broken/itself'))
const files: Record<string, string | Uint8Array> = {
  'nothing.png': '',
  'text.png': 'hello',
  'cut.png': Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'),
  'nothing.safetensors': '',
  'cut.safetensors': Buffer.from([255, 255, 255, 255, 255, 255, 255, 127, 123]),
  'odd.safetensors': Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('[]')]),
  'scheduler.json': '{"_class_name":"NoSuchScheduler"}',
  'array.json': '[1,2]',
  'cut.json': '{"a":',
  'caption.txt': Buffer.from([0xff, 0xfe, 0x41]),
  'model/model_index.json': '{"_class_name":"StableDiffusionPipeline","unet":["diffusers","UNet2DConditionModel"],"vae":3}',
  'broken/model_index.json': '{"_class_name":',
  'broken/config.json': 'null',
  'broken/recipe.json': '{"name":4}',
}
for (const [name, content] of Object.entries(files)) writeFileSync(at(name), content)
writeFileSync(at('fine.png'), await encodePng(NdArray.zeros([3, 4, 4], 'f32')))
const tiny = resolve(import.meta.dirname, '../parity/fixtures/stable-diffusion')

const odd = [
  'clear',
  'lanczos',
  '',
  ' ',
  '-',
  '--',
  '0',
  '-1',
  '1.5',
  '1e999',
  'NaN',
  'null',
  'x',
  '__proto__',
  'constructor',
  '../..',
  'a/b',
  'a/b@c',
  'ä',
  '%s',
  '1:2',
  ':',
  'x:y:z',
]
const paths = [
  ...Object.keys(files),
  'empty',
  'model',
  'broken',
  'loop',
  'missing',
  'missing/deep/x.png',
  'nothing.png/x',
  'empty/out.png',
].map(at)
const value = fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...odd) }, { weight: 3, arbitrary: fc.constantFrom(...paths) })

/** Commands that do their work whatever stands behind them get an argument that they cannot take. */
const needsPoison = ['bench', 'demo', 'evaluate', 'card', 'train', 'sample', 'generate', 'serve', 'worker']

async function run(args: readonly string[]) {
  let out = ''
  let err = ''
  const code = await main(args, { out: { write: (text) => (out += text) }, err: { write: (text) => (err += text) } })
  return { code, out, err }
}

/** What no message may hold: the name of an error that only a programmer knows, the system's own sentence, a stack. */
const raw =
  /unexpected error|TypeError|RangeError|SyntaxError|ReferenceError|DOMException|\n {4}at |\[object Object\]|\bE[A-Z]{3,}: [a-z ]+, \w/

const silent = { write: () => undefined }
const commands = (await program({ out: silent, err: silent })).commands
const lines = commands.map((command) => {
  const flags = command.options.flatMap(({ long, required, optional }) =>
    long === '--help' || long === undefined ? [] : [{ long, takes: required || optional }],
  )
  const flag = fc
    .constantFrom(...flags)
    .chain(({ long, takes }): fc.Arbitrary<string[]> => (takes ? value.map((v) => [long, v]) : fc.constant<string[]>([long])))
  const poison = needsPoison.includes(command.name()) ? poisonOf(command.name()) : []
  return fc
    .record({ flags: fc.array(flag, { maxLength: 4 }), positional: fc.array(value, { maxLength: 2 }) })
    .map((made) => [command.name(), ...made.positional, ...made.flags.flat(), ...poison])
})

function poisonOf(command: string): string[] {
  if (command === 'generate' || command === 'sample') return ['--model', at('missing')]
  return ['--no-such-flag']
}

test('any command line ends with a documented code and words', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(...lines), async (args) => {
      const { code, err } = await run(args)
      expect([0, 1, 2], `${args.join(' ')}\n${err}`).toContain(code)
      expect(err, args.join(' ')).not.toMatch(raw)
      if (code !== 0) expect(err.trim(), args.join(' ')).not.toBe('')
    }),
    { numRuns: 250, seed: 11, endOnFailure: true },
  )
})

/** Each place that reads a file, with each file that is wrong. */
const readers: [string, (path: string) => string[]][] = [
  ['info FILE', (path) => ['info', path]],
  ['sample --model', (path) => ['sample', '--model', path]],
  ['generate --model', (path) => ['generate', 'a fox', '--model', path]],
  ['generate --out', (path) => ['generate', 'a fox', '--model', at('missing'), '--out', path]],
  ['generate --image', (path) => ['generate', 'a fox', '--model', tiny, '--image', path]],
  ['generate --mask', (path) => ['generate', 'a fox', '--model', tiny, '--image', path, '--mask', path]],
  ['generate --scheduler', (path) => ['generate', 'a fox', '--model', tiny, '--scheduler', `${path}/x.json`]],
  ['generate --lora', (path) => ['generate', 'a fox', '--model', tiny, '--lora', path, '--steps', '1']],
  ['train', (path) => ['train', path]],
  ['card', (path) => ['card', path]],
  ['evaluate', (path) => ['evaluate', path]],
  ['upscale PICTURE', (path) => ['upscale', path, '--out', at('large')]],
  ['upscale --model', (path) => ['upscale', at('fine.png'), '--model', path, '--out', at('large.png')]],
  ['pull NAME', (path) => ['pull', path]],
]

test.each(readers)('%s with every kind of wrong file', { timeout: 120_000 }, async (_, line) => {
  for (const path of paths) {
    const args = line(path)
    const { code, err } = await run(args)
    expect([1, 2], `${args.join(' ')}\n${err}`).toContain(code)
    expect(err, args.join(' ')).not.toMatch(raw)
  }
})

/** Where the system, a person or a script says where things are kept. */
const settings: readonly (readonly [name: string, args: readonly string[], values: readonly string[]])[] = [
  ['LANGEVIN_CACHE', ['cache'], paths],
  ['LANGEVIN_CACHE', ['cache', 'clear'], paths],
  ['LANGEVIN_CACHE_LIMIT', ['cache'], odd],
  ['HF_HUB_CACHE', ['pull', model], paths],
  ['HF_HOME', ['pull', model], paths],
  ['HF_ENDPOINT', ['pull', model], ['x']],
]

test.each(settings)('%s with every wrong value: %j', { timeout: 120_000 }, async (name, args, values) => {
  for (const value of values) {
    if (name === 'HF_HOME') vi.stubEnv('HF_HUB_CACHE', '')
    vi.stubEnv(name, value)
    const { code, err } = await run(args)
    const line = `${name}=${value} ${args.join(' ')}\n${err}`
    expect([0, 1, 2], line).toContain(code)
    expect(err, line).not.toMatch(raw)
    if (code !== 0) expect(err.trim(), line).not.toBe('')
  }
})

test('upscale to every wrong place, and a wrong file beside one that is fine', { timeout: 120_000 }, async () => {
  const wrong = ['missing.png', 'nothing.png', 'text.png', 'cut.png', 'empty', 'loop'].map((name) => [at(name)])
  const places = paths.map((path) => ['--out', join(path, 'x.jpg')])
  for (const given of [...wrong, ...places]) {
    const { code, err } = await run(['upscale', at('fine.png'), ...given])
    expect([1, 2], `${given.join(' ')}\n${err}`).toContain(code)
    expect(err, given.join(' ')).not.toMatch(raw)
  }
})

test('what is fuzzed is what there is: each command runs when nothing is wrong', { timeout: 120_000 }, async () => {
  expect(await run(['upscale', at('fine.png'), '--out', at('large.png'), '--no-draw'])).toMatchObject({ code: 0, err: '' })
  expect(await run(['pull', model])).toMatchObject({ code: 0, out: expect.stringContaining(at('hub')) })
  expect(await run(['cache', '--json'])).toMatchObject({ code: 0, err: '' })
  expect(commands.map((command) => command.name())).toEqual(expect.arrayContaining(['upscale', 'cache', 'pull']))
})
