import { posix } from 'node:path'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import * as files from './files.ts'
import * as paths from './paths.ts'

/** Browsers have this in workers; Node has no synchronous reader of blobs, so bytes stand for the blob's. */
const bytes = (text: string) => new TextEncoder().encode(text)

afterEach(() => files.unmount('/'))

test('paths are Node’s', () => {
  const part = fc.constantFrom('a', 'b.c', '.d', '..', '.', '', 'e.tar.gz', 'f.')
  const path = fc
    .tuple(fc.boolean(), fc.array(part, { maxLength: 5 }))
    .map(([root, parts]) => (root ? '/' : '') + parts.join('/'))
  fc.assert(
    fc.property(path, path, (a, b) => {
      expect(paths.join(a, b)).toBe(posix.join(a, b).replace(/(?<=.)\/$/, ''))
      expect(paths.resolve('/x', a, b)).toBe(posix.resolve('/x', a, b))
      expect(paths.dirname(posix.normalize(`/r/${a}x`))).toBe(posix.dirname(posix.normalize(`/r/${a}x`)))
      expect(paths.basename(a)).toBe(posix.basename(a))
      expect(paths.extname(a)).toBe(posix.extname(a))
      expect(paths.relative(`/${a}`, `/${b}`)).toBe(posix.relative(`/${a}`, `/${b}`))
    }),
  )
  expect(paths.basename('a/b.json', '.json')).toBe('b')
})

test('what is mounted is found, listed and read by range', () => {
  files.mount('/models/1', [
    ['model_index.json', bytes('{}')],
    ['unet/config.json', bytes('{"a": 1}')],
  ])
  expect(files.readdirSync('/models/1').sort()).toEqual(['model_index.json', 'unet'])
  expect(files.existsSync('/models/1/unet')).toBe(true)
  expect(files.statSync('/models/1/unet')?.isDirectory()).toBe(true)
  expect(files.readFileSync('/models/1/unet/config.json', 'utf8')).toBe('{"a": 1}')
  const handle = files.openSync('/models/1/unet/config.json')
  const into = new Uint8Array(4)
  expect(files.readSync(handle, into, 0, 4, 2)).toBe(4)
  expect(new TextDecoder().decode(into)).toBe('a": ')
  expect(files.readSync(handle, into, 0, 4, 7)).toBe(1)
  files.closeSync(handle)
  expect(() => files.readFileSync('/models/2')).toThrow('ENOENT')
  expect(files.statSync('/models/2', { throwIfNoEntry: false })).toBeUndefined()
})

test('a path cannot leave the folder that it is mounted in', () => {
  files.mount('/models/1', [['../../etc/x', bytes('x')]])
  expect(files.existsSync('/etc/x')).toBe(false)
  expect(files.existsSync('/models/1/etc/x')).toBe(true)
})

test('what is written in parts is whole, and replaces what had its name in one step', () => {
  files.mkdirSync('/out')
  const handle = files.openSync('/out/new', 'wx')
  for (let i = 0; i < 100; i++) expect(files.writeSync(handle, Uint8Array.of(i, 9), 0, 1)).toBe(1)
  files.closeSync(handle)
  files.writeFileSync('/out/old', 'old')
  files.renameSync('/out/new', '/out/old')
  expect(files.readFileSync('/out/old')).toEqual(Uint8Array.from({ length: 100 }, (_, i) => i))
  expect(() => files.openSync('/out/old', 'wx')).toThrow('EEXIST')
  expect([...files.filesIn('/out')].map(([name, { size }]) => [name, size])).toEqual([['old', 100]])
  files.renameSync('/out', '/moved')
  expect(files.readdirSync('/moved')).toEqual(['old'])
  expect(() => files.rmSync('/moved')).toThrow('EISDIR')
  files.rmSync('/moved', { recursive: true })
  expect(files.existsSync('/moved/old')).toBe(false)
})

test('bytes of a blob are read where browsers can, and else the error says where', () => {
  files.mount('/', [['blob', new Blob(['abc'])]])
  expect(files.statSync('/blob')?.size).toBe(3)
  expect(() => files.readFileSync('/blob')).toThrow('in a worker')
})
