import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readTensor } from '../checkpoints/safetensors.ts'
import { openWeightFile } from '../checkpoints/weight-file.ts'
import { readInversion } from './inversion.ts'

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
