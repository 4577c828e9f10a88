import { cpSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkpoint, errorOf, f32, temporaryFolder } from '../../tests/checkpoints.ts'
import { ConfigError, type ShardError } from './errors.ts'
import { openSafetensors, readTensor, writeSafetensors } from './safetensors.ts'
import { openSharded } from './sharded.ts'

const indexName = 'model.safetensors.index.json'
const withIndex = (index: unknown) => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, indexName), JSON.stringify(index))
  return { folder, index: join(folder, indexName) }
}

test('shards of diffusers give the tensors of the single file', () => {
  const shards = openSharded(checkpoint('sharded/diffusion_pytorch_model.safetensors.index.json'))
  const single = openSafetensors(checkpoint('ddpm/unet/diffusion_pytorch_model.safetensors')).tensors
  expect([...shards.keys()].sort()).toEqual([...single.keys()].sort())
  for (const [key, tensor] of single) expect(readTensor(shards.get(key)!).data).toEqual(readTensor(tensor).data)
})

test("shards may be symlinks, as in the hub's cache", () => {
  const folder = temporaryFolder()
  for (const name of readdirSync(checkpoint('sharded'))) symlinkSync(checkpoint(`sharded/${name}`), join(folder, name))
  expect(openSharded(join(folder, 'diffusion_pytorch_model.safetensors.index.json')).size).toBeGreaterThan(0)
})

test('one error lists every shard that is missing and every key that disagrees', () => {
  const { folder, index } = withIndex({
    weight_map: { a: '1.safetensors', b: '1.safetensors', c: '2.safetensors', d: '3.safetensors', e: '4.safetensors' },
  })
  writeSafetensors(join(folder, '1.safetensors'), [
    ['a', f32([1], 1)],
    ['x', f32([1], 1)],
  ])
  writeSafetensors(join(folder, '2.safetensors'), [
    ['a', f32([1], 1)],
    ['c', f32([1], 1)],
  ])
  const error = errorOf(() => openSharded(index)) as ShardError
  expect(error).toMatchObject({
    name: 'ShardError',
    file: index,
    missingShards: ['3.safetensors', '4.safetensors'],
    missing: [{ key: 'b', shard: '1.safetensors' }],
    unlisted: [
      { key: 'x', shard: '1.safetensors' },
      { key: 'a', shard: '2.safetensors' },
    ],
  })
  for (const part of ['2 shards missing', 'b (1.safetensors)', 'a (2.safetensors)']) expect(error.message).toContain(part)
})

test.each(['../a', 'sub/a', '/etc/passwd', 'sub\\a', 'C:a', '', '.', '..', 'a\0b'])('a shard %j is not looked for', (shard) => {
  const { index } = withIndex({ weight_map: { k: shard } })
  const error = errorOf(() => openSharded(index))
  expect(error).toMatchObject({
    name: 'ConfigError',
    file: index,
    field: 'weight_map["k"]',
    message: expect.stringMatching(/plain file name/),
  })
})

test.each([{}, { weight_map: [] }, { weight_map: { a: 1 } }, []])('index %j is malformed', (index) => {
  expect(() => openSharded(withIndex(index).index)).toThrow(ConfigError)
})

test('a key __proto__ in the index is a key', () => {
  const { folder, index } = withIndex(0)
  writeFileSync(index, '{"weight_map":{"__proto__":"1.safetensors"}}')
  writeSafetensors(join(folder, '1.safetensors'), [['__proto__', f32([1], 1)]])
  expect([...openSharded(index).keys()]).toEqual(['__proto__'])
})

test('a shard that is damaged or a pickle is named', () => {
  const folder = temporaryFolder()
  cpSync(checkpoint('sharded'), folder, { recursive: true })
  const index = join(folder, 'diffusion_pytorch_model.safetensors.index.json')
  const shard = join(folder, 'diffusion_pytorch_model-00002-of-00003.safetensors')
  writeFileSync(shard, readFileSync(shard).subarray(0, -1))
  expect(errorOf(() => openSharded(index))).toMatchObject({ name: 'SafetensorsError', file: shard })
  writeFileSync(shard, Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0, 8, 8, 0, 0))
  expect(errorOf(() => openSharded(index))).toMatchObject({ name: 'PickleError', file: shard })
  rmSync(shard)
  expect(errorOf(() => openSharded(index))).toMatchObject({ name: 'ShardError', missing: [], unlisted: [] })
})
