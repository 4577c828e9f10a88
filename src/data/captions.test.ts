import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { encodePng } from '../images/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { imageFolder } from './folder.ts'
import { listImages } from './listing.ts'
import { decodeText, parseCsv } from './text.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-captions-'))
afterAll(() => rmSync(desk, { recursive: true, force: true }))
const png = await encodePng(NdArray.zeros([3, 8, 8]))

/** A folder of these files, and pictures of these names. */
function folder(pictures: readonly string[], files: Readonly<Record<string, string | Uint8Array>>): string {
  const dir = mkdtempSync(join(desk, 'set-'))
  for (const [name, content] of [...pictures.map((name) => [name, png] as const), ...Object.entries(files)]) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), content)
  }
  return dir
}
const captions = (dir: string) => listImages(dir).images.map(({ caption }) => caption)
const utf16 = (text: string, big = false) => {
  const bytes = Buffer.from(`\ufeff${text}`, 'utf16le')
  return big ? bytes.swap16() : bytes
}
const row = '{"file_name": "a.png", "text": "ein Bär"}'

test.each<[string, Uint8Array]>([
  ['UTF-8', Buffer.from(row)],
  ['UTF-8 with a byte order mark', Buffer.from(`\ufeff${row}`)],
  ['UTF-16, little-endian', utf16(row)],
  ['UTF-16, big-endian', utf16(row, true)],
])('metadata and captions in %s are read', (_, bytes) => {
  expect(captions(folder(['a.png'], { 'metadata.jsonl': bytes }))).toEqual(['ein Bär'])
  expect(captions(folder(['a.png'], { 'a.txt': bytes }))).toEqual([row])
})

test.each<[string, Uint8Array, RegExp]>([
  ['Latin-1', Buffer.from(`{}\n${row}`, 'latin1'), /not UTF-8 \(line 2; Latin-1 or another encoding\); save it as UTF-8/],
  ['UTF-16 without a mark', Buffer.from('a cat', 'utf16le'), /zero bytes, as UTF-16 does/],
  ['half a UTF-16', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from([0, 0xd8])]), /starts as UTF-16/],
])('%s is refused with its place', (_, bytes, reason) => {
  const { broken } = listImages(folder(['a.png'], { 'a.txt': bytes }))
  expect(broken).toEqual([{ file: 'a.txt', reason: expect.stringMatching(reason) }])
  expect(listImages(folder(['a.png'], { 'metadata.jsonl': bytes })).broken).toContainEqual({
    file: 'metadata.jsonl',
    reason: expect.stringMatching(reason),
  })
})

test('a caption column, another column by name, and metadata.csv', () => {
  expect(captions(folder(['a.png'], { 'metadata.jsonl': '{"file_name": "a.png", "caption": "x"}' }))).toEqual(['x'])
  const csv = '\ufefffile_name,text\r\na.png,"a cat, ""big"",\non grass"\r\nsub/b.png,b\r\n'
  expect(captions(folder(['a.png', 'sub/b.png'], { 'metadata.csv': csv }))).toEqual(['a cat, "big",\non grass', 'b'])
  const own = folder(['a.png'], { 'metadata.csv': 'file_name,prompt\na.png,y' })
  expect(listImages(own, { captionColumn: 'prompt' }).images[0]?.caption).toBe('y')
  expect(listImages(own).notes?.[0]).toBe('metadata.csv gives no captions: its rows have no text or caption, but prompt')
  expect(listImages(own, { captionColumn: 'title' }).broken).toEqual([
    { file: 'metadata.csv', reason: 'no row has the column title; there are prompt' },
  ])
})

test.each<[string, string, string, RegExp]>([
  ['metadata.csv', 'name;text\na.png;x', 'metadata.csv:1', /file_name among them, separated by commas; got name;text/],
  [
    'metadata.csv',
    'file_name,text\na.png,a cat, big',
    'metadata.csv:2',
    /3 fields where the first line names 2; put texts with commas/,
  ],
  ['metadata.csv', 'file_name,text\na.png,"x', 'metadata.csv:2', /a quote that is never closed/],
  ['metadata.csv', 'file_name,text\n"lost\n.png",x\nlost.png,x', 'metadata.csv:4', /does not exist/],
  ['captions.jsonl', row, 'captions.jsonl', /captions are read from metadata.jsonl or metadata.csv, and this is neither/],
  ['metadata.json', row, 'metadata.json', /this is neither; rename, convert or remove it/],
  ['metadata.jsonl.txt', row, 'metadata.jsonl.txt', /this is neither/],
  ['metadata.parquet', 'PAR1', 'metadata.parquet', /convert/],
])('%s: %j is refused with its place', (name, content, file, reason) => {
  expect(listImages(folder(['a.png'], { [name]: content })).broken).toContainEqual({
    file,
    reason: expect.stringMatching(reason),
  })
})

test('pictures without a caption among others are told, and refused where captions are needed', async () => {
  const dir = folder(['a.png', 'b.png', 'c.png'], { 'metadata.jsonl': row, 'B.TXT': ' b ', 'd.txt': 'of no picture' })
  expect(listImages(dir).images.map(({ caption }) => caption)).toEqual(['ein Bär', 'b', ''])
  const notes = ['1 of 3 pictures have no caption: c.png', 'd.txt: no picture has this name, and it is no caption']
  expect(listImages(dir).notes).toEqual(notes)
  const warnings: string[] = []
  await imageFolder({ dir, size: 8, warn: (message) => warnings.push(message) })
  expect(warnings).toEqual(notes.map((note) => `${dir}: ${note}`))
  await expect(imageFolder({ dir, size: 8, captioned: true, warn: () => {} })).rejects.toThrow('c.png: has no caption')
  // A folder without any captions is one of pictures alone.
  expect(listImages(folder(['a.png'], { 'notes.md': 'x' })).notes).toBeUndefined()
})

test('CSV by RFC 4180', () => {
  const { rows } = parseCsv('a,b\r\n\n"x\n""y""", z\r\n,\n')
  expect(rows).toEqual([
    { line: 1, fields: ['a', 'b'] },
    { line: 3, fields: ['x\n"y"', ' z'] },
    { line: 5, fields: ['', ''] },
  ])
  expect(decodeText(new Uint8Array())).toEqual({ text: '' })
})
