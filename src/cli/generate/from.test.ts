import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { encodePng } from '../../images/index.ts'
import { NdArray } from '../../runtime/index.ts'
import { main } from '../program.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
const desk = mkdtempSync(join(tmpdir(), 'langevin-generate-from-'))
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

describe('a picture is made again from its own settings, to the byte', () => {
  test.for([
    [
      'a sampler by name',
      ['a "red" fox, (big:1.2)\nand snow', ...sd1, '--steps', '3', '--scheduler', 'DPM++ 2M Karras', '--seed', '7'],
      sd1,
    ],
    [
      'guidance',
      [
        ...[
          'a fox',
          ...sd1,
          '--steps',
          '3',
          '--negative',
          'blurry: bad',
          '--guidance',
          '4',
          '--rescale',
          '0.5',
          '--clip-skip',
          '1',
        ],
        ...['--freeu', '1.5,1.6,0.9,0.2', '--pag-scale', '2', '--pag-layers', 'mid', 'up_blocks', '--syntax', 'compel'],
      ],
      sd1,
    ],
    ['a config', ['a fox', ...sd1, '--steps', '3', '--scheduler', scheduler], sd1],
    ['timesteps', ['a fox', ...sd1, '--scheduler', 'euler', '--timesteps', '900', '500', '100'], sd1],
    ['two passes', ['a fox', ...sd1, '--steps', '3', '--hires', '1.5', '--hires-strength', '0.5', '--hires-steps', '4'], sd1],
    [
      'a LoRA',
      ['a fox<lora:kohya:0.3>', ...sd1, '--steps', '2', '--lora', `${folder}/loras/diffusers.safetensors:0.8`],
      [...sd1, '--lora-dir', `${folder}/loras`],
    ],
    [
      'a part repainted',
      [
        ...['a fox', ...sd1, '--steps', '4', '--image', input('picture'), '--mask', input('corner-mask'), '--strength', '0.6'],
        ...['--fill', 'noise', '--paste', '--width', '32', '--height', '32', '--eta', '0.5', '--scheduler', 'ddim'],
      ],
      [...sd1, '--image', input('picture'), '--mask', input('corner-mask')],
    ],
    [
      'XL',
      [
        ...['a fox', '--model', `${folder}/xl`, '--steps', '3', '--prompt2', 'a hen', '--negative2', 'x, y', '--crop', '4,8'],
        ...['--original-size', '64,48', '--refiner', `${folder}/xl-refiner`, '--switch-at', '0.6'],
      ],
      ['--model', `${folder}/xl`, '--refiner', `${folder}/xl-refiner`],
    ],
    [
      'controls',
      [
        ...['a fox', ...sd1, '--steps', '3', '--controlnet', `${folder}/controlnet-a`, '--control', input('edges')],
        ...['--control-scale', '0.5', '--cache', 'deep:2', '--tiling'],
      ],
      [...sd1, '--controlnet', `${folder}/controlnet-a`, '--control', input('edges'), '--control-scale', '0.5'],
    ],
  ] as const)('%s', { timeout }, async ([, flags, again]) => {
    const [first, second] = [at('first.png'), at('second.png')]
    expect(await generate(...flags, '--out', first)).toMatchObject({ code: 0 })
    const { code, err } = await generate('--from', first, ...again, '--out', second)
    expect([code, err]).toEqual([0, expect.not.stringContaining('not followed')])
    expect(readFileSync(second)).toEqual(readFileSync(first))
    // What is given beside wins.
    expect(await generate('--from', first, ...again, '--seed', '99', '--out', second)).toMatchObject({ code: 0 })
    expect(readFileSync(second)).not.toEqual(readFileSync(first))
  })
})

test("AUTOMATIC1111's and ComfyUI's pictures say how, and what cannot be followed is told", { timeout }, async () => {
  const grey = NdArray.zeros([3, 8, 8])
  const web = at('web.png')
  const settings =
    'Steps: 3, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5, Seed: 11, Size: 32x32, Model hash: abc, Model: sd1, Clip skip: 2, Face restoration: CodeFormer, Version: v1.10.1'
  writeFileSync(web, await encodePng(grey, { text: { parameters: `a fox\nNegative prompt: bad\n${settings}` } }))
  const made = at('made.png')
  const { code, err } = await generate('--from', web, ...sd1, '--out', made)
  expect([code, err]).toEqual([0, expect.stringContaining('not followed: Face restoration: CodeFormer')])
  expect(err).toContain('another program made it')
  const wanted = at('wanted.png')
  const flags = ['--steps', '3', '--scheduler', 'DPM++ 2M Karras', '--guidance', '5', '--seed', '11', '--clip-skip', '1']
  await generate('a fox', ...sd1, '--negative', 'bad', ...flags, '--width', '32', '--height', '32', '--out', wanted)
  expect(readFileSync(made)).toEqual(readFileSync(wanted))
  const graph = {
    1: {
      class_type: 'KSampler',
      inputs: {
        seed: 5,
        steps: 2,
        cfg: 3,
        sampler_name: 'euler',
        scheduler: 'karras',
        denoise: 1,
        positive: ['2', 0],
        negative: ['3', 0],
      },
    },
    2: { class_type: 'CLIPTextEncode', inputs: { text: 'a hen' } },
    3: { class_type: 'CLIPTextEncode', inputs: { text: '' } },
  }
  writeFileSync(web, await encodePng(grey, { text: { prompt: JSON.stringify(graph) } }))
  const { code: other, out } = await generate('--from', web, ...sd1, '--out', made, '--json')
  expect(other).toBe(0)
  expect(JSON.parse(out).pictures[0]).toMatchObject({ Steps: 2, Seed: 5, 'CFG scale': 3, Sampler: 'euler karras' })
  writeFileSync(web, await encodePng(grey))
  expect(await generate('--from', web, ...sd1)).toMatchObject({
    code: 2,
    err: expect.stringContaining('says nothing of how it was made'),
  })
  const { err: nameless } = await generate('--from', made, '--out', wanted)
  expect(nameless).toMatch(/made by sd1: give --model/)
})
