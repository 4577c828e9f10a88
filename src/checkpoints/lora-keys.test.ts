import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { NdArray } from '../runtime/ndarray.ts'
import { moduleNames, partOf } from './lora-keys.ts'

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../parity/fixtures/${name}.json`, import.meta.url), 'utf8'))
/** kohya's names and what diffusers makes of them. */
const made: Record<string, Record<string, string>> = read('lora_names').names
/** Components, by key the shape and some elements. */
const cases: Record<string, { components: Record<string, Record<string, [number[]]>> }> = read('single_file').cases

test.each([
  ['sd1', 'sd1'],
  ['xl-base', 'xl-base'],
  ['xl-sgm', 'xl-base'],
])('%s: every name of a module is read as diffusers reads it', (spelling, kind) => {
  const networks = Object.entries(cases[kind]?.components ?? {}).map(
    ([name, keys]) => [name, new Map(Object.entries(keys).map(([key, [shape]]) => [key, NdArray.zeros(shape)]))] as const,
  )
  const names = moduleNames(new Map(networks))
  const pairs = Object.entries(made[spelling] ?? {})
  const wrong = pairs.filter(([name, converted]) => {
    const place = names.get(name)
    const same = names.get(partOf(converted)?.module ?? '')
    return !place || place.join() !== same?.join()
  })
  expect(wrong).toEqual([])
  expect(new Set(pairs.map(([name]) => names.get(name)?.join())).size).toBe(pairs.length)
  expect(pairs.length).toBeGreaterThan(200)
})

test.each([
  ['unet.a.to_q.lora_A.weight', 'unet.a.to_q', 'down'],
  ['base_model.model.unet.a.to_q.lora_B.default_0.weight', 'unet.a.to_q', 'up'],
  ['text_encoder.a.q_proj.lora_linear_layer.up.weight', 'text_encoder.a.q_proj', 'up'],
  ['unet.a.processor.to_out_lora.down.weight', 'unet.a.processor.to_out', 'down'],
  ['lora_unet_a.lora_mid.weight', 'lora_unet_a', 'mid'],
  ['lora_unet_a.hada_w1_a', 'lora_unet_a', 'hada w1_a'],
  ['lora_unet_a.lokr_t2', 'lora_unet_a', 'lokr t2'],
  ['lora_unet_a.alpha', 'lora_unet_a', 'alpha'],
  ['lora_unet_a.dora_scale', 'lora_unet_a', 'dora'],
])('%s', (key, module, part) => expect(partOf(key)).toEqual({ module, part }))

test('other keys are no part', () => expect(partOf('unet.a.to_q.weight')).toBeUndefined())
