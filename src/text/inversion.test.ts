import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readTensor } from '../checkpoints/safetensors.ts'
import { openWeightFile } from '../checkpoints/weight-file.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { bundledInversions, InversionError, readInversion } from './inversion.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../../parity/fixtures/pickles/${name}`, import.meta.url))

test.each([
  ['inversion-a1111', 'my-cat', [2, 16]],
  ['inversion-diffusers', '<my-dog>', [1, 16]],
  ['inversion-legacy', '<my-dog>', [1, 16]],
])("PyTorch's file %s is a textual-inversion embedding", (name, token, shape) => {
  const [expected] = openWeightFile(fixture(`${name}.expected.safetensors`)).tensors.values()
  const { first, second, ...rest } = readInversion(fixture(`${name}.pt`))
  expect(rest).toEqual({ token })
  expect(second).toBeUndefined()
  expect(first.shape).toEqual(shape)
  expect([...first.data]).toEqual([...readTensor(expected!).data])
  expect(readInversion(fixture(`${name}.pt`), 'mine').token).toBe('mine')
})

test("a LoRA's file can carry embeddings, of either encoder's width", () => {
  const rows = (count: number, width: number, value: number) => NdArray.full([count, width], value)
  const tensors = new Map([
    ['unet.a.lora_A.weight', rows(1, 1, 0)],
    ['bundle_emb.cat.string_to_param.*', rows(2, 8, 1)],
    ['bundle_emb.<dog>.emb_params', rows(1, 8, 2)],
    ['bundle_emb.xl.clip_l', rows(1, 8, 3)],
    ['bundle_emb.xl.clip_g', rows(1, 12, 4)],
  ])
  expect(bundledInversions(tensors, 'x')).toEqual([
    { token: 'cat', first: rows(2, 8, 1) },
    { token: '<dog>', first: rows(1, 8, 2) },
    { token: 'xl', first: rows(1, 8, 3), second: rows(1, 12, 4) },
  ])
  expect(() => bundledInversions(new Map([['bundle_emb.a.b', rows(1, 8, 0)]]), 'x')).toThrow(InversionError)
})
