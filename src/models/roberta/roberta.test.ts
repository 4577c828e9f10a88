import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf, weightsOf } from '../../../tests/networks.ts'
import { grad } from '../../core/grad.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { finish } from '../../diffusion/denoiser.ts'
import { projectSimplex, simplexSampling } from '../../diffusion/simplex.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { compile, type Program } from '../../runtime/program.ts'
import { ModelConfigError } from '../config.ts'
import { robertaConfig, ssdLmConfig } from './config.ts'
import { robertaClassifier, ssdLm } from './network.ts'

const stored = fixture('ssd-lm')
const cases = JSON.parse(stored.metadata.cases as string) as Record<'ssdlm' | 'classifier', Described> & {
  readonly decode: { readonly seed: number; readonly steps: number; readonly block: number; readonly weight: number }
}
const V = 19
const K = 2

test('SSD-LM: keys, logits and gradients agree with RoBERTa and the reference’s two layers', async () => {
  const { config, ...keys } = cases.ssdlm
  const p = new Params()
  const context = input('context', [2, 3], 'i64')
  const [x, t] = [input('x', [2, 4, V]), input('t', [2])]
  const logits = ssdLm(p, ssdLmConfig(config))({ context, x, t })
  expect(keysOf(p)).toEqual(keys)
  const symbols = new Map(Object.entries({ context, x, t }))
  expect(await disagreements(stored, 'ssdlm', { p, symbols, outputs: { logits } })).toEqual([])
})

/** Logits moved by the classifier's gradient, as the pipeline moves them. */
async function guidance(): Promise<Program> {
  const p = new Params()
  const config = robertaConfig(cases.classifier.config)
  const classifier = robertaClassifier(p, config)
  const { config: _, ...keys } = cases.classifier
  expect(keysOf(p)).toEqual(keys)
  const logits = input('logits', [1, 4, V])
  const { table, classify } = classifier
  const score = classify(logits.softmax(2).reshape([4, V]).matmul(table).reshape([1, 4, 16]))
    .logSoftmax()
    .slice(1, 2)
    .sum()
  const [slope] = grad(score, [logits]) as [Tensor]
  return compile({ outputs: { guided: logits.add(slope.mul(cases.decode.weight)) }, weights: weightsOf(p, 0) }, { threads: 1 })
}

test('guidance moves logits as the reference does', async () => {
  const program = await guidance()
  const out = await program.run({ logits: tensorOf(stored, 'classifier.logits') })
  await program.release()
  expect(maxDifference(out.guided as NdArray, tensorOf(stored, 'classifier.guided'))).toBeLessThan(1e-4)
  expect(maxDifference(out.guided as NdArray, tensorOf(stored, 'classifier.logits'))).toBeGreaterThan(0.01)
})

test.each(['greedy', 'multi-hot', 'guided'] as const)(
  '%s: two blocks are decoded as the reference decodes them',
  async (name) => {
    const { steps, block, seed } = cases.decode
    const draws = tensorOf(stored, `decode.${name}.draws`)
    const expected = Array.from(tensorOf(stored, `decode.${name}.tokens`).data)
    const guide = name === 'guided' ? await guidance() : undefined
    const tokens = [5, 11, 3]
    let call = 0
    for (let made = 0; made < 2; made++) {
      const p = new Params()
      const context = input('context', [1, tokens.length], 'i64')
      const logits = ssdLm(p, ssdLmConfig(cases.ssdlm.config))({ context, x: input('x', [1, block, V]), t: input('t', [1]) })
      const program = await compile({ outputs: { logits }, weights: weightsOf(p, seed) }, { threads: 1 })
      const before = NdArray.from([tokens]).cast('i64')
      const denoise = async (x: NdArray, t: number) => {
        const out = (await program.run({ context: before, x, t: NdArray.from([t]) })).logits as NdArray
        return guide ? ((await guide.run({ logits: out })).guided as NdArray) : out
      }
      const projection = name === 'greedy' ? 'greedy' : 'multi-hot'
      const randn = () => draws.row(call++)
      const run = simplexSampling(denoise, [1, block, V], { steps, K, projection, topP: 0.4, randn })
      tokens.push(...(await finish(run)).data)
      // The reference draws noise at its last step too, and leaves it.
      call++
      await program.release()
    }
    await guide?.release()
    expect(tokens.slice(3)).toEqual(expected)
  },
)

test('configs that cannot be followed', () => {
  expect(() => robertaConfig({ hidden_size: 10, num_attention_heads: 3 }, 'x')).toThrow(ModelConfigError)
  expect(() => ssdLmConfig({ max_position_embeddings: 20, block_size: 18 })).toThrow(/no place for what comes before in 18/)
  expect(() => robertaConfig({ hidden_act: 'relu' })).toThrow(/hidden_act/)
  expect(() => projectSimplex(NdArray.zeros([1, 1, 3]), { projection: 'sampling', K })).toThrow(/pass \{ generator/)
})
