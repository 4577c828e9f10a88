import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { hub } from '../../../tests/fake-hub.ts'
import { maxDifference } from '../../../tests/fixture.ts'
import { writeSafetensors } from '../../checkpoints/index.ts'
import { decodePixels } from '../../images/index.ts'
import { Generator, NdArray } from '../../runtime/index.ts'
import { main } from '../program.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
const desk = mkdtempSync(join(tmpdir(), 'langevin-generate-features-'))
afterAll(() => rmSync(desk, { recursive: true }))
const timeout = 180_000
const sd1 = ['--model', `${folder}/sd1`]
const input = (name: string) => `${folder}/inputs/${name}.png`

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(['generate', ...args], { out: sink('out'), err: sink('err') }), ...written }
}
const generate = (...args: string[]) => run('--threads', '1', '--no-draw', ...args)
const at = (name: string) => join(desk, name)
const scheduler = at('scheduler.json')
writeFileSync(scheduler, JSON.stringify({ _class_name: 'EulerDiscreteScheduler', use_karras_sigmas: true, a_note: 'x' }))

test('pictures are written as JPEG and WebP, which carry their settings', { timeout }, async () => {
  const [png, jpeg, webp, again] = ['a.png', 'a.jpg', 'a.webp', 'again.png'].map(at) as [string, string, string, string]
  const flags = ['a fox', ...sd1, '--steps', '2', '--seed', '3']
  expect(await generate(...flags, '--out', png)).toMatchObject({ code: 0 })
  for (const out of [jpeg, webp]) expect(await generate(...flags, '--quality', '80', '--out', out)).toMatchObject({ code: 0 })
  expect(await generate(...flags, '--quality', '80', '--out', png)).toMatchObject({
    code: 2,
    err: expect.stringContaining('a PNG has none'),
  })
  expect(await generate(...flags, '--hires-upscaler', 'lanczos')).toMatchObject({
    code: 2,
    err: expect.stringContaining('no --hires'),
  })
  expect([...readFileSync(jpeg).subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff])
  expect(readFileSync(webp).subarray(8, 12).toString()).toBe('WEBP')
  for (const from of [jpeg, webp]) {
    expect(await generate('--from', from, ...sd1, '--out', again)).toMatchObject({ code: 0 })
    expect(readFileSync(again)).toEqual(readFileSync(png))
  }
  const small = at('small.jpg')
  await generate(...flags, '--quality', '5', '--out', small)
  expect(readFileSync(small).length).toBeLessThan(readFileSync(jpeg).length)
  expect(await generate(...flags, '--out', at('a.gif'))).toMatchObject({
    code: 2,
    err: expect.stringContaining('name a .png, .jpg, .jpeg or .webp'),
  })
  expect(await generate(...flags, '--out', jpeg, '--quality', '0')).toMatchObject({
    code: 2,
    err: expect.stringContaining('--quality'),
  })
})

test('the picture so far is shown in a terminal, and nowhere else', { timeout }, async () => {
  let shown = ''
  const terminal = { isTTY: true, columns: 40, rows: 30, getColorDepth: () => 24, write: (text: string) => (shown += text) }
  const quiet = { write: () => true }
  const flags = [
    'generate',
    'a fox',
    ...sd1,
    '--steps',
    '6',
    '--threads',
    '1',
    '--no-draw',
    '--scheduler',
    'ddim',
    '--out',
    at('p.png'),
  ]
  const drawn = async (out: typeof terminal | typeof quiet, ...more: string[]) => {
    shown = ''
    expect(await main([...flags, ...more], { out, err: quiet })).toBe(0)
    return shown.split('▀').length - 1
  }
  const before = { ...process.env }
  Object.assign(process.env, { TERM: 'xterm-256color' })
  for (const name of ['NO_COLOR', 'KITTY_WINDOW_ID', 'TERM_PROGRAM', 'LC_TERMINAL']) delete process.env[name]
  try {
    // 16 × 16 latents are 8 rows of 16 cells; steps 2 and 4, as after 6 the picture itself is there.
    expect(await drawn(terminal, '--preview', '2')).toBe(2 * 8 * 16)
    expect(await drawn(terminal)).toBe(0)
    expect(await drawn(terminal, '--preview', '2', '--json')).toBe(0)
    expect(await drawn(quiet, '--preview', '2')).toBe(0)
  } finally {
    process.env = before
  }
})

test('prompts from a file, and grids of options', { timeout }, async () => {
  const list = at('prompts.txt')
  writeFileSync(list, '# animals\na fox\n\ntwo hens\n')
  const flags = [...sd1, '--steps', '2', '--seed', '3']
  const out = at('many.png')
  const { code, out: printed } = await generate('--prompts', list, ...flags, '--out', out)
  expect([code, printed]).toEqual([0, `${out}\n${at('many-1.png')}\n`])
  const alone = at('alone.png')
  await generate('two hens', ...flags, '--out', alone)
  expect(readFileSync(at('many-1.png'))).toEqual(readFileSync(alone))
  const grid = await generate('a fox', ...sd1, '--xyz', 'steps=1,2,3; guidance=1,4', '--out', out)
  expect([grid.code, (await decodePixels(out)).shape]).toEqual([0, [2 * 34 + 2, 3 * 34 + 2, 3]])
  // The second of the first row is two steps at guidance 1.
  const two = await generate('a fox', ...sd1, '--steps', '2', '--guidance', '1', '--out', alone)
  expect(two.code).toBe(0)
  const cell = (await decodePixels(out)).slice(0, 2, 34).slice(1, 36, 68)
  expect(maxDifference(cell, await decodePixels(alone))).toBe(0)
  for (const [xyz, message] of [
    ['steps', /expected OPTION=VALUE,VALUE/],
    ['steps=a', /a is no --steps/],
    ['model=a,b', /an option that is a number or a word/],
    ['steps=1;steps=2', /twice/],
    ['image=a.png', /an option that is a number or a word/],
    ['', /expected one to three options/],
  ] as const)
    expect(await generate('a fox', ...sd1, '--xyz', xyz)).toMatchObject({ code: 2, err: expect.stringMatching(message) })
  expect(await generate('--prompts', at('none.txt'), ...sd1)).toMatchObject({ code: 2, err: expect.stringContaining('ENOENT') })
})

test('lists, choices, LoRAs by name, embeddings and noise come by flags', { timeout }, async () => {
  const lists = at('lists')
  mkdirSync(join(lists, 'more'), { recursive: true })
  writeFileSync(join(lists, 'animal.txt'), 'fox\nhen\n')
  writeFileSync(join(lists, 'more', 'colour.txt'), 'red\nblue\n')
  const out = at('lists.png')
  const chosen = await generate(
    'a __more/colour__ __animal__',
    ...sd1,
    '--steps',
    '1',
    '--num',
    '3',
    '--wildcards',
    lists,
    '--out',
    out,
  )
  expect(chosen.code).toBe(0)
  const alone = at('lists-alone.png')
  expect(await generate('--from', at('lists-2.png'), ...sd1, '--out', alone)).toMatchObject({ code: 0 })
  expect(readFileSync(alone)).toEqual(readFileSync(at('lists-2.png')))
  expect(await generate('{a fox|a hen}', ...sd1, '--steps', '1', '--choices', '--json', '--out', out)).toMatchObject({ code: 0 })
  expect(await generate('a __bird__', ...sd1, '--wildcards', lists)).toMatchObject({
    code: 1,
    err: expect.stringContaining('no such list'),
  })
  const lora = await generate('a fox<lora:none:1>', ...sd1, '--lora-dir', lists)
  expect([lora.code, lora.err]).toEqual([2, expect.stringContaining(`no none.safetensors in ${lists}`)])

  const noise = at('noise.safetensors')
  writeSafetensors(noise, new Map([['latents', new Generator(3).randn([1, 4, 16, 16])]]))
  const flags = ['a fox', ...sd1, '--steps', '2', '--json']
  const seeded = at('seeded.png')
  await generate(...flags, '--seed', '3', '--out', seeded)
  expect(await generate(...flags, '--latents', noise, '--out', out)).toMatchObject({ code: 0 })
  expect(maxDifference(await decodePixels(out), await decodePixels(seeded))).toBe(0)
  const embeds = at('embeds.safetensors')
  writeSafetensors(
    embeds,
    new Map([
      ['prompt_embeds', new Generator(1).randn([1, 77, 16])],
      ['negative_prompt_embeds', NdArray.zeros([1, 77, 16])],
    ]),
  )
  expect(await generate('--prompt-embeds', embeds, ...sd1, '--steps', '2', '--out', out)).toMatchObject({ code: 0 })
  expect(await generate(...flags, '--prompt-embeds', embeds)).toMatchObject({
    code: 2,
    err: expect.stringContaining('leave the prompt empty'),
  })
  expect(await generate('--prompt-embeds', noise, ...sd1)).toMatchObject({
    code: 2,
    err: expect.stringContaining('has no tensor prompt_embeds'),
  })
})

test('what was made is enlarged, ControlNet and autoencoder may be files, a config is told once', { timeout }, async () => {
  const out = at('large.png')
  expect(await generate('a fox', ...sd1, '--steps', '1', '--upscale', 'lanczos:2', '--out', out)).toMatchObject({ code: 0 })
  expect((await decodePixels(out)).shape).toEqual([64, 64, 3])
  expect(await generate('--from', out, ...sd1, '--upscale', 'none', '--out', out)).toMatchObject({ code: 0 })
  expect((await decodePixels(out)).shape).toEqual([32, 32, 3])
  const network = fileURLToPath(new URL('../../../parity/fixtures/upscalers/swinir-light-x4.pth', import.meta.url))
  const [first, second] = [at('first.png'), at('second.png')]
  for (const file of [first, second])
    expect(await generate('a fox', ...sd1, '--steps', '1', '--upscale', network, '--out', file)).toMatchObject({ code: 0 })
  expect((await decodePixels(first)).shape).toEqual([128, 128, 3])
  expect(readFileSync(second)).toEqual(readFileSync(first))
  const cat = 'a photo of a cat sitting on a wooden table, soft morning light'
  // The sizes of these networks are not those that published files have: that they are read as files is what can be seen here.
  const file = `${folder}/controlnet-a/diffusion_pytorch_model.safetensors`
  const control = await generate(cat, ...sd1, '--controlnet', file, '--control', input('edges'), '--out', out)
  expect(control.err).toMatch(/control0\..*8 channels do not split into 32 groups/)
  const noted = await generate(
    'a fox',
    ...sd1,
    '--steps',
    '1',
    '--num',
    '2',
    '--xyz',
    'guidance=1,2',
    '--scheduler',
    scheduler,
    '--out',
    out,
  )
  expect([noted.code, noted.err.split('a_note').length]).toEqual([0, 2])
})

test('Ctrl-C ends a download', { timeout }, async () => {
  let asked = 0
  const { endpoint } = await hub({
    answer: (request) => {
      if (!request.url?.includes('/resolve/')) return false
      // No answer comes.
      asked++
      if (asked === 1) setTimeout(() => process.emit('SIGINT'), 50)
      return true
    },
  })
  const before = { ...process.env }
  Object.assign(process.env, { HF_ENDPOINT: endpoint, HF_HUB_CACHE: temporaryFolder(), HF_HUB_OFFLINE: '' })
  try {
    expect(await generate('a fox', '--model', 'some-org/tiny.model')).toMatchObject({ code: 130, err: 'langevin: interrupted\n' })
    expect(asked).toBeGreaterThan(0)
  } finally {
    process.env = before
  }
})
