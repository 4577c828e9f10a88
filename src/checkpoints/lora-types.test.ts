import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { relativeDifference } from '../../tests/networks.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import type { Weights } from '../runtime/weights.ts'
import { LoraError, mergeLoras } from './lora.ts'
import { openSafetensors, readTensor } from './safetensors.ts'

const { tensors } = openSafetensors(fileURLToPath(new URL('../../parity/fixtures/lora_types.safetensors', import.meta.url)))
const names = [...tensors.keys()].flatMap((key) => /^(.+) base$/.exec(key)?.[1] ?? [])
const read = (key: string) => readTensor(tensors.get(key)!) as NdArray<'f32'>
const partsOf = (name: string, module: string) =>
  new Map(
    [...tensors.keys()].flatMap((key) =>
      key.startsWith(`${name} part `) ? [[`${module}.${key.slice(name.length + 6)}`, read(key)] as const] : [],
    ),
  )

test.each(names.filter((name) => name !== 'bias'))('%s as the reference merges it', async (name) => {
  const networks = new Map<string, Weights>([['unet', new Map([['a.to_q.weight', read(`${name} base`)]])]])
  const lora = { place: name, tensors: partsOf(name, 'unet.a.to_q') }
  const weight = name.endsWith('0.5') ? 0.5 : 1
  const merged = (await mergeLoras(networks, [{ lora, weight }])).get('unet')?.get('a.to_q.weight') as NdArray
  expect(merged.shape).toEqual(read(`${name} base`).shape)
  expect(relativeDifference(merged, read(`${name} merged`))).toBeLessThan(2e-6)
  expect(relativeDifference(read(`${name} base`), read(`${name} merged`))).toBeGreaterThan(0.01)
  // Half of a rotation, of a GLoRA or of LyCORIS' DoRA is half of its change.
  if (/^(oft|boft|glora|dora_scale)/.test(name)) {
    const half = (await mergeLoras(networks, [{ lora, weight: 0.5 }])).get('unet')?.get('a.to_q.weight') as NdArray
    expect(
      relativeDifference(
        half,
        read(`${name} base`)
          .add(read(`${name} merged`))
          .mul(0.5),
      ),
    ).toBeLessThan(2e-6)
  }
})

describe('keys that once refused a whole file', () => {
  const generator = new Generator(1)
  const draw = (...shape: number[]) => generator.randn(shape)
  const text = 'text_model.encoder.layers.0.self_attn.q_proj'
  const networks = new Map<string, Weights>([
    [
      'unet',
      new Map([
        ['a.to_q.weight', draw(6, 4)],
        ['a.to_q.bias', draw(6)],
        ['a.norm1.weight', draw(4)],
        ['a.norm1.bias', draw(4)],
      ]),
    ],
    ['text_encoder', new Map([[`${text}.weight`, draw(4, 4)]])],
    ['text_encoder_2', new Map([[`${text}.weight`, draw(5, 5)]])],
  ])
  const merge = async (tensors: Record<string, NdArray>) => {
    const warnings: string[] = []
    const lora = { place: 'x', tensors: new Map(Object.entries(tensors)) }
    const merged = await mergeLoras(networks, [{ lora, weight: 1 }], { warn: (message) => warnings.push(message) })
    const of = (from: ReadonlyMap<string, Weights>, component: string, key: string) =>
      (from.get(component) as Weights).get(key) as NdArray<'f32'>
    const change = (component: string, key: string) => of(merged, component, key).sub(of(networks, component, key))
    return { merged, change, warnings }
  }
  const pair = (module: string, rows: number, columns: number) => ({
    [`${module}.lora_A.weight`]: draw(2, columns),
    [`${module}.lora_B.weight`]: draw(rows, 2),
  })
  const changed = (change: NdArray<'f32'>) => Array.from(change.data).some((x) => x !== 0)

  test("lora_B's bias, scaled as its weight is", async () => {
    const own = partsOf('bias', 'unet.a.to_q')
    const base = new Map<string, Weights>([
      [
        'unet',
        new Map([
          ['a.to_q.weight', draw(6, 4)],
          ['a.to_q.bias', read('bias base')],
        ]),
      ],
    ])
    const merged = await mergeLoras(base, [{ lora: { place: 'x', tensors: own }, weight: 1 }])
    expect(relativeDifference(merged.get('unet')?.get('a.to_q.bias') as NdArray, read('bias merged'))).toBeLessThan(1e-6)
  })

  test('text encoders of transformers 5, without text_model', async () => {
    const { change, warnings } = await merge({
      ...pair('text_encoder.encoder.layers.0.self_attn.q_proj', 4, 4),
      ...pair('text_encoder_2.encoder.layers.0.self_attn.q_proj', 5, 5),
    })
    expect(changed(change('text_encoder', `${text}.weight`)) && changed(change('text_encoder_2', `${text}.weight`))).toBe(true)
    expect(warnings).toEqual([])
  })

  test("PEFT's own file of one network, which does not say which", async () => {
    const { change } = await merge(pair('base_model.model.a.to_q', 6, 4))
    expect(changed(change('unet', 'a.to_q.weight'))).toBe(true)
    // Two networks have this module: it is not guessed.
    await expect(merge(pair(`base_model.model.${text}`, 4, 4))).rejects.toThrow(LoraError)
  })

  test('differences of norms', async () => {
    const [w, b] = [draw(4), draw(4)]
    const { change } = await merge({ 'lora_unet_a_norm1.w_norm': w, 'lora_unet_a_norm1.b_norm': b })
    expect(relativeDifference(change('unet', 'a.norm1.weight'), w)).toBeLessThan(1e-6)
    expect(relativeDifference(change('unet', 'a.norm1.bias'), b)).toBeLessThan(1e-6)
  })

  test('rank 0 changes nothing', async () => {
    const { merged } = await merge({
      'unet.a.to_q.lora_A.weight': NdArray.zeros([0, 4]),
      'unet.a.to_q.lora_B.weight': NdArray.zeros([6, 0]),
    })
    expect(merged.get('unet')).toBe(networks.get('unet'))
  })

  test('what has no place is told and left, and only a file of which nothing fits is refused', async () => {
    const { change, warnings } = await merge({
      ...pair('unet.a.to_q', 6, 4),
      'unet.b.lora_A.weight': draw(2, 2),
      'bundle_emb.cat.emb_params': draw(1, 4),
    })
    expect(changed(change('unet', 'a.to_q.weight'))).toBe(true)
    expect(warnings).toEqual(['x: 1 of 4 keys have no place in the model and were left: unet.b.lora_A.weight'])
    await expect(merge({ 'unet.b.lora_A.weight': draw(2, 2) })).rejects.toThrow(LoraError)
    // A file of embeddings alone is no LoRA of another model.
    expect((await merge({ 'bundle_emb.cat.emb_params': draw(1, 4) })).warnings).toEqual([])
  })
})

describe('adapters of Stable Diffusion 3', () => {
  const generator = new Generator(2)
  const draw = (...shape: number[]) => generator.randn(shape)
  const shapes: Record<string, number[]> = {
    'pos_embed.proj.weight': [4, 2, 2, 2],
    'norm_out.linear.weight': [8, 4],
    ...Object.fromEntries(
      [0, 1].flatMap((i) =>
        ['attn.to_q', 'attn.to_k', 'attn.to_v', 'attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj', 'ff.net.0.proj'].map(
          (name) => [`transformer_blocks.${i}.${name}.weight`, [4, 4]],
        ),
      ),
    ),
    'transformer_blocks.0.norm1_context.linear.weight': [24, 4],
    'transformer_blocks.1.norm1_context.linear.weight': [8, 4],
  }
  const weights = new Map(Object.entries(shapes).map(([key, shape]) => [key, draw(...shape)]))
  const networks = new Map<string, Weights>([['transformer', weights]])
  const changes = async (tensors: Record<string, NdArray>) => {
    const lora = { place: 'x', tensors: new Map(Object.entries(tensors)) }
    const fail = (message: string) => {
      throw new Error(message)
    }
    const merged = (await mergeLoras(networks, [{ lora, weight: 1 }], { warn: fail })).get('transformer') as Weights
    const all = [...merged].flatMap(([key, value]) =>
      value === weights.get(key) ? [] : [[key, (value as NdArray<'f32'>).sub(weights.get(key)!)] as const],
    )
    return new Map(all)
  }

  test("PEFT's and kohya's names of diffusers' modules", async () => {
    for (const [down, up] of [
      ['transformer.transformer_blocks.1.attn.to_k.lora_A.weight', 'transformer.transformer_blocks.1.attn.to_k.lora_B.weight'],
      [
        'lora_transformer_transformer_blocks_1_attn_to_k.lora_down.weight',
        'lora_transformer_transformer_blocks_1_attn_to_k.lora_up.weight',
      ],
    ] as const)
      expect([...(await changes({ [down]: draw(2, 4), [up]: draw(4, 2) })).keys()]).toEqual([
        'transformer_blocks.1.attn.to_k.weight',
      ])
  })

  test("the original program's q, k and v in one, each with its rows; and halves that change places", async () => {
    const [a, b] = [draw(2, 4), draw(12, 2)]
    const module = 'lora_unet_joint_blocks_1_context_block_attn_qkv'
    const found = await changes({
      [`${module}.lora_down.weight`]: a,
      [`${module}.lora_up.weight`]: b,
      [`${module}.alpha`]: NdArray.from([1], []),
    })
    const keys = ['q', 'k', 'v'].map((letter) => `transformer_blocks.1.attn.add_${letter}_proj.weight`)
    expect([...found.keys()].sort()).toEqual([...keys].sort())
    const product = (rows: NdArray<'f32'>) =>
      NdArray.from(
        Array.from({ length: rows.size / 2 }, (_, i) =>
          [0, 1, 2, 3].map(
            (j) =>
              (rows.data[2 * i] as number) * (a.data[j] as number) + (rows.data[2 * i + 1] as number) * (a.data[4 + j] as number),
          ),
        ),
      )
    for (const [i, key] of keys.entries())
      expect(relativeDifference(found.get(key) as NdArray, product(b.slice(0, 4 * i, 4 * i + 4)).mul(0.5)), key).toBeLessThan(
        1e-5,
      )
    for (const [name, key] of [
      ['lora_unet_final_layer_adaLN_modulation_1', 'norm_out.linear.weight'],
      ['lora_unet_joint_blocks_1_context_block_adaLN_modulation_1', 'transformer_blocks.1.norm1_context.linear.weight'],
    ] as const) {
      const up = draw(8, 2)
      const turned = await changes({ [`${name}.lora_down.weight`]: a, [`${name}.lora_up.weight`]: up })
      const halves = NdArray.concat([up.slice(0, 4, 8), up.slice(0, 0, 4)])
      expect(relativeDifference(turned.get(key) as NdArray, product(halves)), key).toBeLessThan(1e-5)
    }
  })
})
