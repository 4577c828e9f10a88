import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../../../tests/checkpoints.ts'
import { maxDifference } from '../../../../tests/fixture.ts'
import { weightsOf } from '../../../../tests/networks.ts'
import { range } from '../../../core/shape.ts'
import { input } from '../../../core/tensor.ts'
import { boundWeight, type MaskSchedule, maskSchedules, scoreEntropy, scoresOf, totalNoise } from '../../../diffusion/index.ts'
import { mdlm, mdlmConfig, scoreNats } from '../../../models/index.ts'
import { Params } from '../../../nn/params.ts'
import { finish, loadPipeline } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { evaluateLanguage } from '../../evaluation/language.ts'
import { openRecipe, prepare } from '../../open.ts'
import { blockObjective, causalObjective, maskedObjective, type TextObjective } from './objectives.ts'

const schedule: MaskSchedule = maskSchedules.loglinear
const [V, N] = [4, 3]
const tiny = { vocab_size: V, model_length: N, hidden_dim: 8, cond_dim: 4, n_blocks: 1, n_heads: 2 }

/** Every text of three tokens but the mask. */
const all = NdArray.from(range(27).map((i) => [Math.floor(i / 9), Math.floor(i / 3) % 3, i % 3])).cast('i64')

/** Nats of each text of one network. */
async function natsOf(objective: TextObjective, fields: Record<string, unknown>, feeds: Record<string, NdArray>) {
  const p = new Params()
  const nats = objective.nats(mdlm(p, mdlmConfig({ ...tiny, ...fields })), [all.shape[0] as number, N])
  const program = await compile({ outputs: { nats }, weights: weightsOf(p, 0) })
  const out = await program.run(feeds)
  await program.release()
  return (out.nats as NdArray<'f32'>).data
}

describe('what a text costs', () => {
  test('the causal twin gives all texts of a length together probability 1', async () => {
    const fields = { model_type: 'ar', causal: true }
    const objective = causalObjective(mdlmConfig({ ...tiny, ...fields }))
    const nats = await natsOf(objective, fields, objective.feeds(all, new Generator(0)))
    expect(nats.reduce((sum, one) => sum + Math.exp(-one), 0)).toBeCloseTo(1, 4)
    expect(Math.max(...nats) - Math.min(...nats)).toBeGreaterThan(0.1)
  })

  test('blocks of one token, all masked, are an exact likelihood too', async () => {
    const fields = { model_type: 'bd3lm', block_size: 1 }
    const objective = blockObjective(mdlmConfig({ ...tiny, ...fields }), schedule)
    const { labels } = objective.feeds(all, new Generator(0))
    const noisy = NdArray.full(all.shape, V - 1).cast('i64')
    const feeds = { tokens: NdArray.concat([noisy, all], 1), labels: labels as NdArray, weights: NdArray.full(all.shape, 1) }
    const nats = await natsOf(objective, fields, feeds)
    expect(nats.reduce((sum, one) => sum + Math.exp(-one), 0)).toBeCloseTo(1, 4)
    expect(Math.max(...nats) - Math.min(...nats)).toBeGreaterThan(0.1)
  })

  test('one block of all tokens costs what masked diffusion does, at the same times and masks', async () => {
    const fields = { model_type: 'bd3lm', block_size: N }
    const block = blockObjective(mdlmConfig({ ...tiny, ...fields }), schedule)
    const masked = maskedObjective(mdlmConfig(tiny), schedule)
    const [a, b] = [
      await natsOf(block, fields, block.feeds(all, new Generator(5))),
      await natsOf(masked, {}, masked.feeds(all, new Generator(5))),
    ]
    expect(maxDifference(new NdArray(a, [27], 'f32'), new NdArray(b, [27], 'f32'))).toBeLessThan(1e-4)
  })

  test('masked tokens weigh what brings the bound to all times: as much as there are tokens, on average', () => {
    for (const name of ['loglinear', 'cosine', 'square'] as const) {
      const clean = NdArray.full([4000, N], 0).cast('i64')
      const { weights } = maskedObjective(mdlmConfig(tiny), maskSchedules[name]).feeds(clean, new Generator(1))
      expect((weights as NdArray).mean().item(), name).toBeCloseTo(1, 1)
    }
  })

  test('the score entropy of scaled scores is that of the definition', async () => {
    const [B, t] = [3, 0.4]
    const generator = new Generator(2)
    const logits = generator.randn([B, N, V])
    const clean = generator.randint(0, V - 1, [B, N])
    const noisy = clean.cast('f32').map((token, i) => (i % 2 ? token : V - 1))
    const sigma = totalNoise(schedule, t)
    const scores = scoresOf(logits, noisy, sigma, { scaled: true })
    const rate = schedule.rate(t) / schedule.kept(t)
    const expected = scoreEntropy('absorb', scores, { noisy, clean, sigma }).mul(rate)
    const weights = noisy.map((token) => (token === V - 1 ? boundWeight(schedule, t) : 0))
    const nats = scoreNats(input('logits', [B, N, V]), {
      labels: input('labels', [B, N], 'i64'),
      weights: input('weights', [B, N]),
    })
    const program = await compile({ outputs: { nats }, weights: new Map() })
    const out = await program.run({ logits, labels: clean, weights })
    await program.release()
    expect(maxDifference(out.nats as NdArray, NdArray.from(range(B).map((i) => expected.row(i).sum().item())))).toBeLessThan(1e-4)
  })
})

test.each(['mdlm', 'sedd', 'bd3lm', 'ar'])('%s learns a folder of texts, and its own folder writes', async (recipe) => {
  const dir = temporaryFolder()
  const words = ['the state', 'of the union', 'is strong', 'and free']
  const line = (i: number) =>
    JSON.stringify({
      text: range(12)
        .map((k) => words[(i * 7 + k * k) % 4])
        .join(' '),
    })
  writeFileSync(join(dir, 'texts.jsonl'), range(40).map(line).join('\n'))
  const network = { hidden_dim: 16, cond_dim: 8, n_blocks: 1, n_heads: 2 }
  const fields = {
    data: { kind: 'texts', train_data_dir: join(dir, 'texts.jsonl') },
    tokenizer: { size: 280 },
    length: 8,
    network,
  }
  const own = recipe === 'bd3lm' ? { block_size: 4, interval: [0.3, 0.8] } : {}
  const training = { max_train_steps: 25, train_batch_size: 8, learning_rate: 0.01, lr_warmup_steps: 1, ema_decay: 0 }
  const file = join(dir, 'recipe.json')
  writeFileSync(file, JSON.stringify({ recipe, ...fields, ...own, training: { ...training, validation_steps: 24 } }))
  const { job, config } = await prepare(openRecipe(file), { threads: 1 })
  const run = join(dir, 'run')
  await runTraining(job, config, { dir: run, stream: { write: () => {} } })
  const column = (name: string) =>
    readFileSync(join(run, 'log.csv'), 'utf8')
      .trim()
      .split('\n')
      .map((row) => row.split(','))
      .map((row, _, [head]) => Number(row[head?.indexOf(name) as number]))
      .slice(1)
  const bits = column('bits_per_token')
  expect(bits[0]).toBeGreaterThan(5)
  expect(bits.slice(-5).reduce((a, b) => a + b) / 5).toBeLessThan(0.9 * (bits[0] as number))
  expect(readFileSync(join(run, 'validation.csv'), 'utf8')).toMatch(/^step,bits_per_byte,bits_per_token\n24,\d/)
  expect(readFileSync(join(run, 'samples', 'step-25.txt'), 'utf8').length).toBeGreaterThan(1)
  const pipeline = await loadPipeline(join(run, 'model'))
  const result = await finish(pipeline.generate({ prompt: 'the state', length: 4, seed: 3 }))
  await pipeline.release()
  expect(result).toEqual({ type: 'text', texts: [expect.stringMatching(/^the state./)] })
  const {
    bits: heldOut,
    written,
    infilling,
  } = await evaluateLanguage(join(run, 'model'), { num: 2, seed: 0, steps: 8 }, { name: 'own' })
  expect([heldOut.bitsPerByte > 0.1, heldOut.bitsPerByte < 10, written.entropy > 0]).toEqual([true, true, true])
  expect(infilling !== undefined).toBe(recipe === 'mdlm' || recipe === 'sedd')
})
