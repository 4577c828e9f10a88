import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { relativeDifference } from '../../tests/networks.ts'
import { conv } from '../core/functions.ts'
import { input } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { evaluate } from '../runtime/program.ts'
import { Generator } from '../runtime/random.ts'
import type { Weights } from '../runtime/weights.ts'
import { type Lora, LoraError, type LoraWeight, mergeLoras, openLora } from './lora.ts'
import { openSafetensors, writeSafetensors } from './safetensors.ts'

const generator = new Generator(0)
const draw = (...shape: number[]) => generator.randn(shape)

const linear = 'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight'
const out = 'up_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0.weight'
const window = 'down_blocks.0.resnets.1.conv1.weight'
const point = 'down_blocks.1.attentions.0.proj_in.weight'
const text = 'text_model.encoder.layers.0.self_attn.q_proj.weight'
const networks = new Map<string, Weights>([
  [
    'unet',
    new Map([
      [linear, draw(6, 4)],
      [out, draw(4, 4)],
      [window, draw(4, 4, 3, 3)],
      ['down_blocks.0.resnets.1.conv1.bias', draw(4)],
      ['down_blocks.0.resnets.0.conv1.weight', draw(4, 4, 3, 3)],
      ['down_blocks.0.downsamplers.0.conv.weight', draw(4, 4, 3, 3)],
      [point, draw(4, 4, 1, 1)],
    ]),
  ],
  ['text_encoder', new Map([[text, draw(6, 6)]])],
  ['text_encoder_2', new Map([[text, draw(8, 8)]])],
])
const baseOf = (component: string, key: string) => networks.get(component)?.get(key) as NdArray
const loraOf = (tensors: Record<string, NdArray>, metadata?: Record<string, string>): Lora => ({
  place: 'test',
  tensors: new Map(Object.entries(tensors)),
  ...(metadata && { metadata }),
})
const merge = (lora: Lora, weight: LoraWeight = 1) => mergeLoras(networks, [{ lora, weight }])
const deltaOf = async (lora: Lora, component: string, key: string, weight: LoraWeight = 1) => {
  const merged = (await merge(lora, weight)).get(component)?.get(key) as NdArray
  return merged.cast('f32').sub(baseOf(component, key).cast('f32'))
}
const alpha = (value: number) => NdArray.from([value], [])

/** Σ_k a[i, k] b[k, j], written out. */
function product(a: NdArray, b: NdArray): NdArray<'f32'> {
  const [n, r] = [a.shape[0] as number, a.shape[1] as number]
  const m = b.size / r
  const at = (x: NdArray, i: number) => Number(x.data[i])
  const data = Array.from({ length: n * m }, (_, ij) => {
    let sum = 0
    for (let k = 0; k < r; k++) sum += at(a, Math.floor(ij / m) * r + k) * at(b, k * m + (ij % m))
    return sum
  })
  return NdArray.from(data, [n, m])
}

test.each([
  ['PEFT', `unet.${linear.slice(0, -7)}.lora_A.weight`, `unet.${linear.slice(0, -7)}.lora_B.weight`],
  [
    'PEFT, with the adapter named',
    `base_model.model.unet.${linear.slice(0, -7)}.lora_A.default.weight`,
    `base_model.model.unet.${linear.slice(0, -7)}.lora_B.default.weight`,
  ],
  ['diffusers', `unet.${linear.slice(0, -7)}.lora.down.weight`, `unet.${linear.slice(0, -7)}.lora.up.weight`],
  [
    'older diffusers',
    `unet.${linear.slice(0, -12)}.processor.to_q_lora.down.weight`,
    `unet.${linear.slice(0, -12)}.processor.to_q_lora.up.weight`,
  ],
  [
    'kohya',
    `lora_unet_${linear.slice(0, -7).replaceAll('.', '_')}.lora_down.weight`,
    `lora_unet_${linear.slice(0, -7).replaceAll('.', '_')}.lora_up.weight`,
  ],
  [
    "kohya, on the original's U-Net",
    'lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight',
    'lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_up.weight',
  ],
])('%s keys: W + B A', async (_, down, up) => {
  const [a, b] = [draw(2, 4), draw(6, 2)]
  const found = await deltaOf(loraOf({ [down]: a, [up]: b }), 'unet', linear)
  expect(relativeDifference(found, product(b, a))).toBeLessThan(1e-5)
})

test.each([
  ['lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight', 'text_encoder', 6],
  ['lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight', 'text_encoder', 6],
  ['lora_te2_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight', 'text_encoder_2', 8],
  ['text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.down.weight', 'text_encoder', 6],
  ['text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.down.weight', 'text_encoder', 6],
  ['text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight', 'text_encoder_2', 8],
])('text encoders: %s', async (down, component, width) => {
  const [a, b] = [draw(3, width), draw(width, 3)]
  const up = down.replace('down', 'up').replace('lora_A', 'lora_B')
  expect(relativeDifference(await deltaOf(loraOf({ [down]: a, [up]: b }), component, text), product(b, a))).toBeLessThan(1e-5)
})

test('alpha over rank scales it, as a tensor or in the metadata, and weights multiply', async () => {
  const module = `unet.${linear.slice(0, -7)}`
  const pair = { [`${module}.lora_A.weight`]: draw(2, 4), [`${module}.lora_B.weight`]: draw(6, 2) }
  const plain = await deltaOf(loraOf(pair), 'unet', linear)
  const found = await deltaOf(loraOf({ ...pair, [`${module}.alpha`]: alpha(3) }), 'unet', linear, { unet: 0.5 })
  expect(relativeDifference(found, plain.mul(0.75))).toBeLessThan(1e-5)
  const told = (fields: object) => deltaOf(loraOf(pair, { lora_adapter_metadata: JSON.stringify(fields) }), 'unet', linear)
  expect(relativeDifference(await told({ 'unet.lora_alpha': 8, 'unet.r': 2 }), plain.mul(4))).toBeLessThan(1e-5)
  expect(
    relativeDifference(await told({ 'unet.lora_alpha': 8, 'unet.use_rslora': true }), plain.mul(8 / Math.SQRT2)),
  ).toBeLessThan(1e-5)
  expect(relativeDifference(await told({ 'unet.lora_alpha': 8, 'unet.alpha_pattern': { to_q: 2 } }), plain)).toBeLessThan(1e-5)
})

test('a convolution with a LoRA is the convolution beside the two small ones', async () => {
  const base = baseOf('unet', window)
  const [down, up, smallDown, smallUp] = [draw(2, 4, 3, 3), draw(4, 2, 1, 1), draw(2, 4, 1, 1), draw(4, 2, 1, 1)]
  const lora = loraOf({
    'lora_unet_down_blocks_0_resnets_1_conv1.lora_down.weight': down,
    'lora_unet_down_blocks_0_resnets_1_conv1.lora_up.weight': up,
    'lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight': smallDown,
    'lora_unet_down_blocks_1_attentions_0_proj_in.lora_up.weight': smallUp,
  })
  const merged = (await merge(lora)).get('unet')?.get(window) as NdArray
  const feeds = { x: draw(1, 4, 5, 5), base, down, up, merged }
  const s = Object.fromEntries(Object.entries(feeds).map(([name, { shape }]) => [name, input(name, shape)])) as Record<
    keyof typeof feeds,
    ReturnType<typeof input>
  >
  const apart = conv(s.x, s.base, { padding: 1 }).add(conv(conv(s.x, s.down, { padding: 1 }), s.up))
  const { a, b } = await evaluate({ a: apart, b: conv(s.x, s.merged, { padding: 1 }) }, feeds)
  expect(relativeDifference(b, a as NdArray)).toBeLessThan(1e-5)
  const small = await deltaOf(lora, 'unet', point)
  expect(small.shape).toEqual([4, 4, 1, 1])
  const flat = new NdArray(small.data, [4, 4], 'f32')
  expect(relativeDifference(flat, product(new NdArray(smallUp.data, [4, 2], 'f32'), smallDown))).toBeLessThan(1e-5)
})

/** Σ_ij t[i, j, y, x] a[i, o] b[j, n] at [o, n, y, x], written out. */
function tucker(t: NdArray, a: NdArray, b: NdArray): NdArray<'f32'> {
  const [I, J, H, W] = t.shape as [number, number, number, number]
  const [O, N] = [a.shape[1] as number, b.shape[1] as number]
  const data = Array.from({ length: O * N * H * W }, (_, at) => {
    const [o, n, yx] = [Math.floor(at / (N * H * W)), Math.floor(at / (H * W)) % N, at % (H * W)]
    let sum = 0
    for (let i = 0; i < I; i++)
      for (let j = 0; j < J; j++)
        sum += Number(t.data[(i * J + j) * H * W + yx]) * Number(a.data[i * O + o]) * Number(b.data[j * N + n])
    return sum
  })
  return NdArray.from(data, [O, N, H, W])
}

test("LyCORIS: LoHa, LoKr and Tucker's cores", async () => {
  const at = 'lora_unet_down_blocks_0_resnets_1_conv1'
  const w = { a1: draw(4, 2), b1: draw(2, 36), a2: draw(4, 2), b2: draw(2, 36) }
  const loha = loraOf({
    [`${at}.hada_w1_a`]: w.a1,
    [`${at}.hada_w1_b`]: w.b1,
    [`${at}.hada_w2_a`]: w.a2,
    [`${at}.hada_w2_b`]: w.b2,
    [`${at}.alpha`]: alpha(1),
  })
  const both = product(w.a1, w.b1).mul(product(w.a2, w.b2)).mul(0.5)
  const flat = (x: NdArray) => new NdArray(x.cast('f32').data, [4, 36], 'f32')
  expect(relativeDifference(flat(await deltaOf(loha, 'unet', window)), both)).toBeLessThan(1e-5)

  const c = { t1: draw(2, 3, 3, 3), a1: draw(2, 4), b1: draw(3, 4), t2: draw(2, 3, 3, 3), a2: draw(2, 4), b2: draw(3, 4) }
  const core = loraOf(
    Object.fromEntries(
      Object.entries(c).map(([name, x]) => [`${at}.hada_${name[0] === 't' ? name : `w${name[1]}_${name[0]}`}`, x]),
    ),
  )
  const cores = tucker(c.t1, c.a1, c.b1).mul(tucker(c.t2, c.a2, c.b2))
  expect(relativeDifference(await deltaOf(core, 'unet', window), cores)).toBeLessThan(1e-5)

  const mid = { down: draw(3, 4, 1, 1), up: draw(4, 2, 1, 1), mid: draw(2, 3, 3, 3) }
  const locon = loraOf({
    [`${at}.lora_down.weight`]: mid.down,
    [`${at}.lora_up.weight`]: mid.up,
    [`${at}.lora_mid.weight`]: mid.mid,
  })
  const turned = NdArray.from(
    Array.from({ length: 8 }, (_, i) => Number(mid.up.data[(i % 4) * 2 + Math.floor(i / 4)])),
    [2, 4],
  )
  const expected = tucker(mid.mid, turned, new NdArray(mid.down.data, [3, 4], 'f32'))
  expect(relativeDifference(await deltaOf(locon, 'unet', window), expected)).toBeLessThan(1e-5)

  // W[a·C + c, b·D + d] = w1[a, b] w2[c, d].
  const k = { w1: draw(2, 2), a: draw(2, 1), b: draw(1, 18) }
  const lokr = loraOf({
    [`${at}.lokr_w1`]: k.w1,
    [`${at}.lokr_w2_a`]: k.a,
    [`${at}.lokr_w2_b`]: new NdArray(k.b.data, [1, 2, 3, 3], 'f32'),
    [`${at}.alpha`]: alpha(2),
  })
  const w2 = product(k.a, k.b)
  const kron = Array.from({ length: 144 }, (_, i) => {
    const [o, n, yx] = [Math.floor(i / 36), Math.floor(i / 9) % 4, i % 9]
    const left = Number(k.w1.data[Math.floor(o / 2) * 2 + Math.floor(n / 2)])
    return 2 * left * Number(w2.data[(o % 2) * 18 + (n % 2) * 9 + yx])
  })
  expect(relativeDifference(await deltaOf(lokr, 'unet', window), NdArray.from(kron, [4, 4, 3, 3]))).toBeLessThan(1e-5)
  const whole = loraOf({
    'lora_unet_up_blocks_0_attentions_1_transformer_blocks_0_attn2_to_out_0.lokr_w1': draw(2, 2),
    'lora_unet_up_blocks_0_attentions_1_transformer_blocks_0_attn2_to_out_0.lokr_w2': draw(2, 2),
    'lora_unet_up_blocks_0_attentions_1_transformer_blocks_0_attn2_to_out_0.alpha': alpha(7),
  })
  const unscaled = loraOf(
    Object.fromEntries([...whole.tensors].filter(([key]) => !key.endsWith('alpha'))) as Record<string, NdArray>,
  )
  expect(await deltaOf(whole, 'unet', out)).toEqual(await deltaOf(unscaled, 'unet', out))
  const difference = loraOf({ [`${at}.diff`]: draw(4, 4, 3, 3), [`${at}.diff_b`]: draw(4) })
  const bias = await deltaOf(difference, 'unet', 'down_blocks.0.resnets.1.conv1.bias', 2)
  expect(relativeDifference(bias, (difference.tensors.get(`${at}.diff_b`) as NdArray).cast('f32').mul(2))).toBeLessThan(1e-5)
})

test('several act together; what none touches is not copied; a weight of 0 is the original', async () => {
  const module = `unet.${linear.slice(0, -7)}`
  const pair = () => loraOf({ [`${module}.lora_A.weight`]: draw(2, 4), [`${module}.lora_B.weight`]: draw(6, 2) })
  const [one, two] = [pair(), pair()]
  const dir = temporaryFolder()
  const files = new Map(
    [...networks].map(([name, weights]) => {
      writeSafetensors(join(dir, name), weights, {}, { floats: 'f16' })
      return [name, openSafetensors(join(dir, name)).tensors] as const
    }),
  )
  writeSafetensors(join(dir, 'one.safetensors'), one.tensors)
  const merged = await mergeLoras(files, [
    { lora: openLora(join(dir, 'one.safetensors')), weight: 0.5 },
    { lora: two, weight: -1 },
  ])
  const sum = (await deltaOf(one, 'unet', linear)).mul(0.5).sub(await deltaOf(two, 'unet', linear))
  const base = baseOf('unet', linear).cast('f16').cast('f32')
  expect(relativeDifference(merged.get('unet')?.get(linear) as NdArray, base.add(sum))).toBeLessThan(1e-5)
  const changed = [...merged].flatMap(([name, weights]) =>
    [...weights].flatMap(([key, value]) => (value === files.get(name)?.get(key) ? [] : [key])),
  )
  expect(changed).toEqual([linear])
  expect((await merge(one, 0)).get('unet')).toBe(networks.get('unet'))
})

test('keys without a place, shapes that do not fit and DoRA are told, all at once', async () => {
  const module = `unet.${linear.slice(0, -7)}`
  const bad = loraOf({
    'lora_unet_nowhere.lora_down.weight': draw(1, 1),
    'unet.time.lora_A.weight': draw(1, 1),
    [`${module}.lora_A.weight`]: draw(2, 5),
    [`${module}.lora_B.weight`]: draw(6, 2),
    [`unet.${out.slice(0, -7)}.lora_A.weight`]: draw(2, 4),
    'lora_unet_down_blocks_1_attentions_0_proj_in.dora_scale': draw(4),
  })
  const error = (await merge(bad).catch((e: unknown) => e)) as LoraError
  expect(error).toBeInstanceOf(LoraError)
  expect(error.unmatched).toEqual(['lora_unet_nowhere.lora_down.weight', 'unet.time.lora_A.weight'])
  expect(error.faults).toEqual([
    expect.stringContaining('expected [6, 4], the adapter gives [6, 5]'),
    expect.stringContaining('lacks up'),
    expect.stringContaining('DoRA'),
  ])
})
