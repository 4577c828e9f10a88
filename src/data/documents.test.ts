import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { isHeldOutDocument, readDocuments } from './documents.ts'
import { speeches, speechSplitOf } from './speeches.ts'

test('texts are files, and lines of .jsonl files with their attributes; a folder is all below it', () => {
  const dir = temporaryFolder()
  mkdirSync(join(dir, 'below'))
  writeFileSync(join(dir, 'a.txt'), ' one text\nof two lines\n')
  writeFileSync(join(dir, 'below', 'b.jsonl'), '{"text": "first", "year": 1790, "tags": []}\n\n{"text": "second"}\n')
  writeFileSync(join(dir, 'picture.png'), 'no text')
  expect(readDocuments(dir)).toEqual([
    { name: 'a.txt', text: 'one text\nof two lines', attributes: {} },
    { name: 'below/b.jsonl:1', text: 'first', attributes: { year: 1790 } },
    { name: 'below/b.jsonl:3', text: 'second', attributes: {} },
  ])
  expect(readDocuments(join(dir, 'a.txt'))).toHaveLength(1)
  writeFileSync(join(dir, 'below', 'c.jsonl'), '{"text": 1}\nnot json\n')
  writeFileSync(join(dir, 'latin.txt'), Buffer.from([0x66, 0xfc, 0x72]))
  expect(() => readDocuments(dir)).toThrow(
    /3 cannot be read[\s\S]*below\/c.jsonl:1: has no "text"[\s\S]*:2: not JSON[\s\S]*latin/,
  )
  expect(() => readDocuments(join(dir, 'none'))).toThrow(/no such file or folder/)
})

test('about the share asked for is held out, the same each time', () => {
  const names = Array.from({ length: 2000 }, (_, i) => `text-${i}`)
  const held = names.filter((name) => isHeldOutDocument(name, 0.1))
  expect(held.length / names.length).toBeGreaterThan(0.08)
  expect(held.length / names.length).toBeLessThan(0.12)
  expect(names.filter((name) => isHeldOutDocument(name, 0.2))).toEqual(expect.arrayContaining(held))
})

test('addresses of every tenth year are held out whole; what is fetched is read from the cache, a damaged one fetched again', async () => {
  const cache = temporaryFolder()
  vi.stubEnv('LANGEVIN_CACHE', cache)
  mkdirSync(join(cache, 'speeches'))
  const file = join(cache, 'speeches', 'sotu-0.2.3.json')
  const row = (year: number) => ({ year, name: 'A President', party: 'Whig', text: ` In ${year}\n all is well. ` })
  writeFileSync(file, JSON.stringify([1846, 1847, 1857].map(row)))
  expect([1846, 1847, 1857].map(speechSplitOf)).toEqual(['train', 'validation', 'test'])
  const [held] = await speeches('validation')
  expect(held).toEqual({
    name: '1847 A President',
    text: 'In 1847 all is well.',
    attributes: { year: 1847, president: 'A President', party: 'Whig' },
  })
  expect((await speeches()).map(({ attributes }) => attributes.year)).toEqual([1846, 1847, 1857])
  writeFileSync(file, '[{"year": 18')
  vi.stubGlobal('fetch', async () => new Response('no package', { status: 200 }))
  await expect(speeches()).rejects.toThrow(/datasets-sotu-0\.2\.3\.tgz: the addresses could not be fetched: its checksum/)
  vi.unstubAllGlobals()
  vi.unstubAllEnvs()
})
