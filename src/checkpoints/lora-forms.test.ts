import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { relativeDifference } from '../../tests/networks.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { resolveLora } from './hub.ts'
import { type Lora, mergeLoras, openLora } from './lora.ts'
import { writeSafetensors } from './safetensors.ts'

const generator = new Generator(0)
const draw = (...shape: number[]) => generator.randn(shape)
/** B A for a rank of 2. */
const product = (b: NdArray, a: NdArray) =>
  b
    .slice(1, 0, 1)
    .mul(a.slice(0, 0, 1))
    .add(b.slice(1, 1, 2).mul(a.slice(0, 1, 2)))

const linear = 'transformer_blocks.0.attn1.to_q'
const weight = draw(6, 4)
async function deltaOf(lora: Lora): Promise<NdArray> {
  const networks = new Map([['transformer', new Map([[`${linear}.weight`, weight]])]])
  const merged = await mergeLoras(networks, [{ lora, weight: 1 }])
  const found = merged.get('transformer')?.get(`${linear}.weight`) as NdArray
  return found.sub(weight)
}

test("PEFT's own folder: keys of one network, and alpha in the file beside", async () => {
  const dir = temporaryFolder()
  const [a, b] = [draw(2, 4), draw(6, 2)]
  const module = `base_model.model.${linear}`
  const file = join(dir, 'adapter_model.safetensors')
  writeSafetensors(file, [
    [`${module}.lora_A.weight`, a],
    [`${module}.lora_B.weight`, b],
  ])
  const told = async (fields?: object) => {
    if (fields) writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', r: 2, ...fields }))
    return deltaOf(openLora(await resolveLora(dir)))
  }
  const plain = product(b, a)
  expect(relativeDifference(await told(), plain)).toBeLessThan(1e-5)
  expect(relativeDifference(await told({ lora_alpha: 8 }), plain.mul(4))).toBeLessThan(1e-5)
  expect(relativeDifference(await told({ lora_alpha: 8, use_rslora: true }), plain.mul(8 / Math.SQRT2))).toBeLessThan(1e-5)
  expect(relativeDifference(await told({ lora_alpha: 8, alpha_pattern: { to_q: 3 } }), plain.mul(1.5))).toBeLessThan(1e-5)
  writeFileSync(join(dir, 'adapter_config.json'), '{')
  await expect(told()).rejects.toThrow(/adapter_config\.json/)
})

test("the third text encoder's keys, as kohya's scripts and diffusers have them", async () => {
  const key = 'encoder.block.1.layer.0.SelfAttention.q.weight'
  const base = new Map([['text_encoder_3', new Map([[key, draw(6, 4)]])]])
  const [a, b] = [draw(2, 4), draw(6, 2)]
  for (const module of ['lora_te3_encoder_block_1_layer_0_SelfAttention_q', `text_encoder_3.${key.slice(0, -7)}`]) {
    const parts = { lora_down: a, lora_up: b }
    const tensors = new Map(Object.entries(parts).map(([part, value]) => [`${module}.${part}.weight`, value]))
    const lora = { place: 'test', tensors: tensors.set(`${module}.alpha`, NdArray.from([1], [])) }
    const merged = (await mergeLoras(base, [{ lora, weight: 1 }])).get('text_encoder_3')?.get(key) as NdArray
    const delta = merged.sub(base.get('text_encoder_3')?.get(key) as NdArray)
    expect(relativeDifference(delta, product(b, a).mul(0.5))).toBeLessThan(1e-5)
  }
})
