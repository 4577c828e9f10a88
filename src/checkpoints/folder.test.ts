import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkpoint, contentOf, errorOf, f32, temporaryFolder } from '../../tests/checkpoints.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { loadConfig, openWeights, readModelIndex, saveConfig, saveModel, writeModelIndex } from './folder.ts'
import { openSafetensors, readTensor, writeSafetensors } from './safetensors.ts'

const unet = checkpoint('ddpm/unet')
const keys: string[] = JSON.parse(readFileSync(checkpoint('ddpm/provenance.json'), 'utf8')).keys
/** The U-Net's weights in the order of its state dict. */
const stateDict = () => {
  const weights = openWeights(unet)
  return keys.map((key) => [key, weights.get(key)!] as const)
}
const contents = (weights: ReadonlyMap<string, NdArray | FileTensor>) =>
  new Map(Array.from(weights, ([key, tensor]) => [key, contentOf('file' in tensor ? readTensor(tensor) : tensor)]))
const weightsIn = (dir: string) => readdirSync(dir).filter((name) => name.includes('safetensors'))
const sameFile = (a: string, b: string) => readFileSync(a).equals(readFileSync(b))

test("Python's infinities are read, and words in strings left alone", () => {
  const file = join(temporaryFolder(), 'scheduler_config.json')
  writeFileSync(file, '{"lambda_min_clipped": -Infinity, "most": Infinity, "note": "\\"Infinity\\" is a word"}')
  expect(loadConfig(join(file, '..'), 'scheduler_config.json')).toEqual({
    lambda_min_clipped: -Infinity,
    most: Infinity,
    note: '"Infinity" is a word',
  })
})

describe('openWeights', () => {
  test('reads single files, shards and variants', () => {
    const single = contents(openWeights(unet))
    expect(contents(openWeights(checkpoint('sharded')))).toEqual(single)
    const half = openWeights(checkpoint('half'), { variant: 'fp16' })
    expect([...half.values()].every(({ dtype }) => dtype === 'f16')).toBe(true)
    expect([...half.keys()].sort()).toEqual([...single.keys()].sort())
  })

  test('a variant that is absent falls back to the plain files', () => {
    expect(openWeights(unet, { variant: 'fp16' })).toEqual(openWeights(unet))
  })

  test('a sharded variant is found by its index', () => {
    const dir = temporaryFolder()
    cpSync(checkpoint('sharded'), dir, { recursive: true })
    const index = join(dir, 'diffusion_pytorch_model.safetensors.index')
    writeFileSync(`${index}.fp16.json`, readFileSync(`${index}.json`))
    rmSync(`${index}.json`)
    expect(openWeights(dir, { variant: 'fp16' }).size).toBe(keys.length)
    expect(() => openWeights(dir)).toThrow(/only variants of its weights: ask for one of "fp16"/)
  })

  test("transformers' name", () => {
    const dir = temporaryFolder()
    writeSafetensors(join(dir, 'model.safetensors'), [['a', f32([1], 1)]])
    expect([...openWeights(dir).keys()]).toEqual(['a'])
  })

  test.each([
    ['diffusion_pytorch_model.bin', 'PickleError', /pickle/],
    ['diffusion_pytorch_model.fp16.bin', 'PickleError', /pickle/],
    ['pytorch_model-00001-of-00002.bin', 'PickleError', /pickle/],
    ['v1-5.ckpt', 'PickleError', /pickle/],
    ['diffusion_pytorch_model.fp16.safetensors', 'FolderError', /only variants.*"fp16"/],
    ['model_index.json', 'FolderError', /is a pipeline/],
    [
      'lora.safetensors',
      'FolderError',
      /no weights: expected diffusion_pytorch_model.*"lora.safetensors" opens with openSafetensors/,
    ],
    ['diffusion_pytorch_model.fp16-00001-of-00002.safetensors', 'FolderError', /only variants.*"fp16"$/],
    ['diffusion_pytorch_model-00001-of-00002.safetensors', 'FolderError', /shards without their index/],
    ['README.md', 'FolderError', /no weights/],
  ])('a folder that has only %s', (file, name, message) => {
    const dir = temporaryFolder()
    writeFileSync(join(dir, file), '')
    expect(errorOf(() => openWeights(dir))).toMatchObject({ name, message: expect.stringMatching(message) })
  })

  test('a pickle beside safetensors does no harm', () => {
    const dir = temporaryFolder()
    cpSync(unet, dir, { recursive: true })
    writeFileSync(join(dir, 'diffusion_pytorch_model.bin'), '')
    expect(openWeights(dir).size).toBe(keys.length)
  })

  test('no folder; a variant that leaves it', () => {
    expect(errorOf(() => openWeights('/nowhere/at/all'))).toMatchObject({ name: 'FolderError', folder: '/nowhere/at/all' })
    expect(errorOf(() => openWeights(unet, { variant: '../x' }))).toMatchObject({ name: 'ArgumentError' })
  })
})

describe('configs', () => {
  test('keep every field, and are written as diffusers writes them', () => {
    const dir = join(temporaryFolder(), 'a/b')
    const config = loadConfig(checkpoint('ddpm/scheduler'), 'scheduler_config.json')
    expect(config).toMatchObject({
      _class_name: 'DDPMScheduler',
      _diffusers_version: expect.any(String),
      num_train_timesteps: 10,
    })
    saveConfig(dir, Object.fromEntries(Object.entries(config).reverse()), 'scheduler_config.json')
    const written = readFileSync(join(dir, 'scheduler_config.json'), 'utf8')
    // Python tells 1.0 from 1 and JavaScript does not.
    const python = readFileSync(checkpoint('ddpm/scheduler/scheduler_config.json'), 'utf8').replace(/(\d)\.0\b/g, '$1')
    expect(written).toBe(python)
  })

  test('Python’s NaN is read, and fifty megabytes of one string are no deeper than any other', () => {
    const dir = temporaryFolder()
    writeFileSync(join(dir, 'config.json'), '{"a": NaN, "b": [-Infinity, NaN], "c": "NaN Infinity \\\\", "d": "\\"NaN"}')
    expect(loadConfig(dir)).toEqual({ a: NaN, b: [-Infinity, NaN], c: 'NaN Infinity \\', d: '"NaN' })
    writeFileSync(join(dir, 'config.json'), `{"a": Infinity, "b": "${'x'.repeat(50_000_000)}"}`)
    expect((loadConfig(dir) as { b?: string }).b).toHaveLength(50_000_000)
    writeFileSync(join(dir, 'config.json'), `{"a": Infinity, "b": "${'x'.repeat(50_000_000)}`)
    expect(() => loadConfig(dir)).toThrow(/not JSON/)
  })

  test.each([
    ['', /not JSON/],
    ['{"a": NaNs}', /not JSON/],
    ['[1]', /must hold an object, got an array/],
    ['null', /must hold an object, got "null"/],
    ['{"_class_name": 1}', /_class_name: must be a string, got "1"/],
    ['{"_diffusers_version": {}}', /_diffusers_version: must be a string, got an object/],
  ])('%j is refused with its place', (text, message) => {
    const dir = temporaryFolder()
    writeFileSync(join(dir, 'config.json'), text)
    const error = errorOf(() => loadConfig(dir))
    expect(error).toMatchObject({ name: 'ConfigError', file: join(dir, 'config.json'), message: expect.stringMatching(message) })
  })

  test('a missing file; a number that JSON lacks', () => {
    const dir = temporaryFolder()
    expect(errorOf(() => loadConfig(dir))).toMatchObject({
      name: 'ConfigError',
      message: expect.stringMatching(/config\.json: cannot be read: ENOENT/),
    })
    expect(errorOf(() => saveConfig(dir, { a: { b: [1, Infinity] } }))).toMatchObject({ name: 'ConfigError', field: 'a.b[1]' })
    expect(readdirSync(dir)).toEqual([])
  })
})

describe('model_index.json', () => {
  test('of diffusers, read and written byte for byte', () => {
    const dir = temporaryFolder()
    const index = readModelIndex(checkpoint('ddpm'))
    expect(index._class_name).toBe('DDPMPipeline')
    expect(index.components.get('unet')).toEqual({ library: 'diffusers', className: 'UNet2DModel' })
    writeModelIndex(dir, index)
    expect(sameFile(join(dir, 'model_index.json'), checkpoint('ddpm/model_index.json'))).toBe(true)
  })

  test('absent components and options survive', () => {
    const dir = join(temporaryFolder(), 'new')
    const index = {
      _class_name: 'P',
      components: new Map([
        ['vae', { library: 'diffusers', className: 'V' }],
        ['safety_checker', null],
      ]),
      options: { requires_safety_checker: false, id2label: { 0: 'tench' }, scale: [1, 2] },
    }
    writeModelIndex(dir, index)
    expect(readModelIndex(dir)).toEqual(index)
  })

  test.each([
    ['{}', '_class_name'],
    ['{"_class_name":"P","_diffusers_version":1}', '_diffusers_version'],
    ['{"_class_name":"P","../x":["diffusers","V"]}', '"../x"'],
  ])('%s is refused', (text, field) => {
    const dir = temporaryFolder()
    writeFileSync(join(dir, 'model_index.json'), text)
    expect(errorOf(() => readModelIndex(dir))).toMatchObject({ name: 'ConfigError', field })
  })

  test("a component that is no folder's name, or an option's, is not written", () => {
    const write = (name: string) =>
      writeModelIndex(temporaryFolder(), { _class_name: 'P', components: new Map([[name, null]]), options: { a: 1 } })
    for (const name of ['a', '_class_name', '../x', 'x/y']) expect(() => write(name)).toThrow(/named as its folder/)
  })
})

describe('saveModel', () => {
  test("writes diffusers' file: its bytes, its config", () => {
    const dir = join(temporaryFolder(), 'deep/unet')
    saveModel(dir, loadConfig(unet), stateDict())
    expect(readdirSync(dir).sort()).toEqual(['config.json', 'diffusion_pytorch_model.safetensors'])
    expect(sameFile(join(dir, 'diffusion_pytorch_model.safetensors'), join(unet, 'diffusion_pytorch_model.safetensors'))).toBe(
      true,
    )
    expect(loadConfig(dir)).toEqual(loadConfig(unet))
  })

  test("shards and index are diffusers', byte for byte", () => {
    const dir = join(temporaryFolder(), 'unet')
    saveModel(dir, loadConfig(unet), stateDict(), { maxShardSize: 8000 })
    const theirs = checkpoint('sharded')
    expect(readdirSync(dir).sort()).toEqual(readdirSync(theirs).sort())
    for (const name of weightsIn(theirs)) expect(sameFile(join(dir, name), join(theirs, name)), name).toBe(true)
  })

  test("in half precision the bytes are torch's", () => {
    const dir = join(temporaryFolder(), 'unet')
    saveModel(dir, loadConfig(unet), stateDict(), { dtype: 'f16' })
    const theirs = join(checkpoint('half'), 'diffusion_pytorch_model.fp16.safetensors')
    expect(sameFile(join(dir, 'diffusion_pytorch_model.safetensors'), theirs)).toBe(true)
  })

  test('openWeights after saveModel is the identity, sharded or not, and over an older save', () => {
    const dir = join(temporaryFolder(), 'unet')
    const tensors: [string, NdArray][] = [
      ['a', f32([2, 2], 1, 2, 3, 4)],
      ['big', NdArray.zeros([9], 'f32')],
      ['ids', new NdArray(BigInt64Array.of(1n, -2n), [2], 'i64')],
      ['b', f32([], 5)],
    ]
    for (const maxShardSize of [1e9, 16, 24, 16, 1e9, 16]) {
      saveModel(dir, { _class_name: 'X', maxShardSize }, tensors, { maxShardSize })
      expect(contents(openWeights(dir))).toEqual(contents(new Map(tensors)))
      expect(loadConfig(dir).maxShardSize).toBe(maxShardSize)
      const { length } = weightsIn(dir)
      expect(length === 1 || existsSync(join(dir, 'diffusion_pytorch_model.safetensors.index.json'))).toBe(true)
      tensors.reverse()
    }
    expect(weightsIn(dir)).toHaveLength(5)
    expect(openSafetensors(join(dir, 'diffusion_pytorch_model-00001-of-00004.safetensors')).metadata).toEqual({ format: 'pt' })
  })

  test('a shard takes what fits, to the byte; what alone exceeds the limit stands alone', () => {
    const dir = join(temporaryFolder(), 'unet')
    const sizes = { a: 2, b: 2, c: 5, d: 1, e: 4, f: 3 }
    const tensors = Object.entries(sizes).map(([key, size]) => [key, NdArray.zeros([size], 'f32')] as const)
    saveModel(dir, {}, tensors, { maxShardSize: 16 })
    const index = JSON.parse(readFileSync(join(dir, 'diffusion_pytorch_model.safetensors.index.json'), 'utf8'))
    const shardOf = Object.entries<string>(index.weight_map).map(([key, file]) => [
      key,
      Number(/-0000(\d)-of-00005/.exec(file)?.[1]),
    ])
    expect(Object.fromEntries(shardOf)).toEqual({ c: 1, a: 2, b: 2, d: 3, e: 4, f: 5 })
    expect(index.metadata.total_size).toBe(17 * 4)
  })

  test('weights saved over the files that they still lie in', () => {
    const dir = join(temporaryFolder(), 'unet')
    saveModel(dir, {}, stateDict(), { maxShardSize: 8000 })
    const before = contents(openWeights(dir))
    saveModel(dir, {}, openWeights(dir), { maxShardSize: 6000 })
    expect(contents(openWeights(dir))).toEqual(before)
  })

  test("other files of the folder stay; a transformers config gets transformers' name", () => {
    const dir = temporaryFolder()
    writeFileSync(join(dir, 'README.md'), 'card')
    saveModel(dir, { model_type: 'clip_text_model' }, [['a', f32([1], 1)]])
    expect(readdirSync(dir).sort()).toEqual(['README.md', 'config.json', 'model.safetensors'])
  })

  test('no tensors make a file without tensors', () => {
    const dir = join(temporaryFolder(), 'x')
    saveModel(dir, {}, [])
    expect(openWeights(dir).size).toBe(0)
  })

  test('a save that fails leaves what was there, and nothing of its own', () => {
    const dir = join(temporaryFolder(), 'unet')
    saveModel(dir, { _class_name: 'old' }, [['a', f32([1], 1)]])
    const before = readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'hex')])
    const bad: [string, NdArray][] = [
      ['a', f32([1], 2)],
      ['b', f32([1], 1e9)],
    ]
    expect(() => saveModel(dir, { _class_name: 'new' }, bad, { dtype: 'f16', maxShardSize: 2 })).toThrow(
      /"b": element 0 is 1000000000/,
    )
    expect(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'hex')])).toEqual(before)
    const fresh = join(dir, '..', 'fresh')
    expect(() => saveModel(fresh, {}, bad, { dtype: 'f16' })).toThrow()
    expect(readdirSync(join(dir, '..'))).toEqual(['unet'])
    for (const maxShardSize of [0, -1, NaN]) expect(() => saveModel(fresh, {}, [], { maxShardSize })).toThrow(/maxShardSize/)
    writeFileSync(fresh, '')
    expect(errorOf(() => saveModel(fresh, {}, []))).toMatchObject({ name: 'SaveError', file: fresh })
  })

  test('what a killed save left is removed after a day, and only that', () => {
    const dir = temporaryFolder()
    const names = [
      '.langevin-00000000-0000-4000-8000-000000000000.tmp',
      '.langevin-00000000-0000-4000-8000-000000000001.tmp',
      '.langevin-mine.tmp',
    ]
    for (const name of names) mkdirSync(join(dir, name))
    for (const name of [names[0]!, names[2]!]) utimesSync(join(dir, name), 0, 0)
    saveModel(dir, {}, [])
    expect(readdirSync(dir).filter((name) => name.endsWith('.tmp'))).toEqual(names.slice(1))
  })
})
