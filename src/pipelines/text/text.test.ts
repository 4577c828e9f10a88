import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { saveModel } from '../../checkpoints/index.ts'
import { finish } from '../../diffusion/index.ts'
import { mdlm, mdlmConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { Generator } from '../../runtime/random.ts'
import { LanguageTokenizer } from '../../text/index.ts'
import { loadPipeline, type Pipeline } from '../load.ts'
import type { Result } from '../page.ts'

const at = (name: string) => fileURLToPath(new URL(`../../../parity/fixtures/text/${name}`, import.meta.url))
interface Case {
  readonly model: 'llada' | 'dream'
  readonly prompt: string
  readonly options: Readonly<Record<string, unknown>>
  readonly tokens: readonly number[]
}
const cases = JSON.parse(readFileSync(at('cases.json'), 'utf8')) as Case[]
const opened = new Map<string, Promise<Pipeline>>()
const open = (model: string) => {
  const known = opened.get(model) ?? loadPipeline(at(model))
  opened.set(model, known)
  return known
}
afterAll(async () => {
  for (const pipeline of opened.values()) await (await pipeline).release()
})

test.each(cases.map((one) => [one.model, JSON.stringify(one.options), one] as const))(
  '%s writes the reference’s tokens with %s',
  async (model, _, { prompt, options, tokens }) => {
    const pipeline = await open(model)
    const result = await finish(pipeline.generate({ prompt, ...options }))
    const tokenizer = LanguageTokenizer.open(at(model))
    const raw = options.raw === true || !tokenizer.converses
    const message = raw ? prompt : tokenizer.asMessage(prompt)
    const before = tokenizer.encode(message)
    expect(tokens.slice(0, before.length)).toEqual(before)
    expect(result).toEqual({ type: 'text', texts: [tokenizer.decode(raw ? tokens : tokens.slice(before.length))] })
  },
)

/** A folder of MDLM's kind whose every weight counts, with the tokenizer of the other fixtures. */
function tiny(name: 'MDLM' | 'BD3LM', fields: Record<string, unknown> = {}): string {
  const folder = join(temporaryFolder(), name)
  const size = LanguageTokenizer.open(at('llada')).size
  const config = { vocab_size: size + 1, model_length: 32, hidden_dim: 16, cond_dim: 8, n_blocks: 2, n_heads: 2, ...fields }
  const p = new Params()
  mdlm(p, mdlmConfig({ model_type: name.toLowerCase(), ...config }))
  const generator = new Generator(1)
  const weights = [...p.tensors].map(([key, { shape }]) => [key, generator.randn(shape).mul(0.5)] as const)
  saveModel(folder, { architectures: [name], model_type: name.toLowerCase(), ...config }, weights)
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join(at('dream'), file), join(folder, file))
  return folder
}

const textOf = (result: Result) => (result.type === 'text' ? result.texts[0] : undefined)

describe('MDLM and BD3-LM', () => {
  test('a text between a prompt and a suffix keeps both, and the same seed writes the same', async () => {
    const pipeline = await loadPipeline(tiny('MDLM', { time_conditioning: true }))
    const run = (seed: number) =>
      finish(pipeline.generate({ prompt: 'The state', suffix: 'nations.', length: 6, steps: 3, seed }))
    const [first, again, other] = [await run(1), await run(1), await run(2)]
    expect(textOf(first)).toMatch(/^The state.*nations\.$/s)
    expect(again).toEqual(first)
    expect(other).not.toEqual(first)
    const previews: string[] = []
    for await (const step of pipeline.generate({ prompt: 'The state', length: 6, steps: 3 })) {
      const made = await step.preview()
      if (made.type === 'text') previews.push(made.texts[0] as string)
    }
    expect(previews[0]).toBe('The state░░░░░░')
    expect(() => pipeline.plan({ guidance: 1 })).toThrow(/guidance: .*MDLM, which was not trained for it/)
    expect(() => pipeline.plan({ prompt: 'The state', length: 64 })).toThrow(/has seen 32 at most; give at most \d+/)
    await pipeline.release()
  })

  test('blocks are written one after another, the last cut to the length', async () => {
    const pipeline = await loadPipeline(tiny('BD3LM', { block_size: 4 }))
    const seen: number[] = []
    const run = pipeline.generate({ prompt: 'The state', length: 9, seed: 4 })
    const result = await finish(run, ({ latents }) =>
      seen.push([...(latents.data as BigInt64Array)].filter((t) => Number(t) === 300).length),
    )
    expect(textOf(result)).toMatch(/^The state/)
    expect(seen.every((left, i) => i === 0 || left <= (seen[i - 1] as number))).toBe(true)
    expect(() => pipeline.plan({ block: 8 })).toThrow(/block: .*trained on blocks of 4/)
    expect(() => pipeline.plan({ suffix: 'x' })).toThrow(/writes from the beginning to the end/)
    await pipeline.release()
  })
})

test('what a folder lacks is named', async () => {
  const folder = join(temporaryFolder(), 'broken')
  cpSync(at('dream'), folder, { recursive: true })
  rmSync(join(folder, 'tokenizer.json'))
  await expect(loadPipeline(folder)).rejects.toThrow(/tokenizer\.json: no such file.*--tokenizer/)
  const pipeline = await loadPipeline(folder, { tokenizer: at('dream') })
  expect(pipeline.output).toBe('text')
  writeFileSync(join(folder, 'config.json'), '{"architectures": ["DreamModel"], "hidden_size": 17}')
  await expect(loadPipeline(folder, { tokenizer: at('dream') })).rejects.toThrow(/config\.json: the config cannot be followed/)
})
