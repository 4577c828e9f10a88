import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ddpm } from '../pipelines/ddpm/page.ts'
import { stableDiffusionPages } from '../pipelines/stable-diffusion/pages.ts'
import { faultOf, faultText, JobError } from './errors.ts'
import { Catalogue } from './models/catalogue.ts'
import { runningFault } from './models/faults.ts'
import { KeptModels } from './models/kept-models.ts'
import { checkOptions, filesOf, optionsSchema } from './models/options.ts'
import { connect, withoutPassword } from './queue/connect.ts'
import { rankOf } from './queue/kept.ts'
import { folderStore } from './store/folder.ts'
import { fileId, keyOf, parseKey } from './store/store.ts'

const dir = mkdtempSync(join(tmpdir(), 'langevin-jobs-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe('the store', () => {
  test('a file is what was put, under the hash of its bytes, for its owner alone', async () => {
    const store = folderStore(join(dir, 'files'))
    const bytes = new TextEncoder().encode('a picture')
    const id = await store.put('ann', bytes, 'image/png')
    expect(id).toBe(fileId(bytes))
    expect(await store.put('ann', bytes, 'image/png')).toBe(id)
    expect(await store.get('ann', id)).toMatchObject({ type: 'image/png', bytes: Buffer.from(bytes) })
    expect(await store.has('bob', id)).toBe(false)
    const listed = []
    for await (const one of store.list()) listed.push(one)
    expect(listed).toMatchObject([{ owner: 'ann', id, bytes: bytes.length }])
    await store.remove('ann', id)
    expect(await store.get('ann', id)).toBeUndefined()
  })

  test.each(['ann', '../../etc', 'a/b', 'a\0b', 'ä@b.c', 'CON', '_2e_2e', '.'])(
    'the owner %j is a folder of the store, and read back',
    async (owner) => {
      const id = fileId(new Uint8Array(1))
      const key = keyOf(owner, id, 'image/webp')
      expect(key).toMatch(/^[\w-]+\/[0-9a-f]{2}\/[0-9a-f]{64}\.webp$/)
      expect(parseKey(key)).toEqual({ owner, id })
    },
  )

  test.each(['../secret', '/etc/passwd', 'a\0b', '', 'A'.repeat(64), `${'a'.repeat(63)}/`])(
    '%j is the id of no file',
    async (id) => {
      const store = folderStore(join(dir, 'files'))
      expect(await store.get('ann', id)).toBeUndefined()
      await store.remove('ann', id)
      expect(readdirSync(dir)).toContain('files')
    },
  )
})

describe('options', () => {
  const [sd] = stableDiffusionPages
  test('as JSON they have files for pictures, and not what only programs give', () => {
    const { properties } = optionsSchema(sd!)
    expect(properties.image).toMatchObject({ type: 'object', 'x-file': true, media: 'picture' })
    expect(properties.steps).toMatchObject({ type: 'integer', description: expect.any(String) })
    expect(Object.keys(properties)).not.toContain('latents')
    const { controls } = properties as unknown as Record<string, { items: { properties: Record<string, unknown> } }>
    expect(controls!.items.properties.picture).toMatchObject({ 'x-file': true })
    expect(JSON.stringify(optionsSchema(ddpm))).toContain('seed')
  })

  test('they are held against the page before a picture is read', () => {
    const file = 'a'.repeat(64)
    checkOptions(sd!, { prompt: 'a fox', image: { file }, mask: { file, mask: 'transparent' }, steps: 3 })
    const fault = (options: object) => {
      try {
        checkOptions(sd!, options as Record<string, unknown>)
      } catch (error) {
        return [(error as JobError).fault, (error as JobError).param]
      }
      return undefined
    }
    expect(fault({ prompt: 'a fox', steps: 0 })).toEqual(['invalid_options', 'steps'])
    expect(fault({ prompt: 'a fox', image: 'fox.png' })).toEqual(['invalid_options', 'image'])
    expect(fault({ prompt: 'a fox', image: { file: '../x' } })).toEqual(['invalid_options', 'image'])
    expect(fault({ prompt: 'a fox', latents: { file } })).toEqual(['invalid_options', 'latents'])
    expect(fault({})).toEqual(['invalid_options', 'prompt'])
    expect(filesOf({ image: { file }, controls: [{ picture: { file } }], other: { file: 'x' } })).toEqual([file, file])
  })
})

describe('the catalogue', () => {
  test('has bundled models, folders of models, and lists with how they are opened', async () => {
    const fixtures = 'parity/fixtures/stable-diffusion'
    const list = join(dir, 'models.json')
    writeFileSync(list, JSON.stringify([{ id: 'mine', model: 'stickers-t2i', load: { tiling: true } }]))
    const catalogue = new Catalogue([fixtures, list])
    const ids = (await catalogue.list()).map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining(['mine', 'stickers-t2i', 'ddpm-faces-32']))
    expect(await catalogue.find('mine')).toMatchObject({
      path: 'stickers-t2i',
      load: { tiling: true },
      className: 'StableDiffusionPipeline',
    })
    expect(await catalogue.find('../../etc')).toBeUndefined()
    expect(catalogue.upscaler('lanczos')).toMatchObject({ path: 'lanczos' })
    expect(() => new Catalogue([join(dir, 'nothing')])).toThrow(/no such model/)
  })
})

test('the models used last stay in memory while there is room', async () => {
  const released: string[] = []
  let used = 0
  const kept = new KeptModels<{ release(): Promise<void> }>(100, () => used)
  const open = (name: string) =>
    kept.get(name, async () => {
      used += 40
      return {
        release: async () => {
          used -= 40
          released.push(name)
        },
      }
    })
  for (const name of ['a', 'b', 'a', 'c']) await open(name)
  await kept.trim()
  expect([kept.names, released]).toEqual([['a', 'c'], ['b']])
  used = 1000
  await kept.trim()
  expect(kept.names).toEqual(['c'])
})

test('faults have a name, survive the queue, and tell what another try would not help', () => {
  const fault = new JobError('invalid_options', 'steps: too few', { param: 'steps' })
  expect(faultOf(faultText(fault))).toMatchObject({ fault: 'invalid_options', message: 'steps: too few', param: 'steps' })
  expect(faultOf('job stalled more than allowable limit')?.fault).toBe('worker_killed')
  expect(faultOf(undefined)).toBeUndefined()
  expect(runningFault(new RangeError('Array buffer allocation failed')).fault).toBe('out_of_memory')
  expect(runningFault(Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' })).fault).toBe('storage')
  expect(runningFault(new Error('boom')).fault).toBe('internal')
})

test('priorities: more is sooner, and BullMQ has no priority 0', () => {
  expect([100, 10, 0, -100].map(rankOf)).toEqual([1, 901, 1001, 2001])
})

test('addresses of queues', async () => {
  await expect(connect('mysql://user:secret@host/x')).rejects.toThrow('mysql://user:…@host/x')
  expect(withoutPassword('redis://:pass@host')).toBe('redis://:…@host')
})
