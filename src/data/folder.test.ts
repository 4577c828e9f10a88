import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { encodeJpeg, encodePng, imagesOf, type Pixels, toPixels } from '../images/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { DataError } from './errors.ts'
import { imageFolder } from './folder.ts'
import { listImages } from './listing.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-data-'))
afterAll(() => rmSync(desk, { recursive: true, force: true }))

function picture(H: number, W: number, level: (y: number, x: number) => number): Pixels {
  const data = Uint8Array.from({ length: H * W * 3 }, (_, i) => level(Math.floor(i / 3 / W), Math.floor(i / 3) % W))
  return new NdArray(data, [H, W, 3], 'u8')
}
const grey = (level: number) => encodePng(picture(8, 8, () => level))

async function folder(files: Readonly<Record<string, string | Uint8Array | Promise<Uint8Array>>>): Promise<string> {
  const dir = mkdtempSync(join(desk, 'set-'))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), await content)
  }
  return dir
}

async function errorOf(promise: Promise<unknown>): Promise<DataError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(DataError)
  return error as DataError
}

test('captions come from metadata.jsonl, then from a sidecar; classes from the first folders', async () => {
  const dir = await folder({
    'cat/a.png': grey(10),
    'cat/b.JPG': encodeJpeg(picture(8, 8, () => 20)),
    'cat/b.txt': ' a cat, from its sidecar \n',
    'dog/deep/c.png': grey(30),
    'dog/metadata.jsonl': '{"file_name": "deep/c.png", "text": "a dog"}\n\n',
    'metadata.jsonl': '{"file_name": "cat/a.png", "text": "a cat", "other": 1}\r\n',
    'cat/.hidden.png': 'not read',
    'notes.md': 'not read',
  })
  expect(listImages(dir)).toEqual({
    images: [
      { file: 'cat/a.png', caption: 'a cat' },
      { file: 'cat/b.JPG', caption: 'a cat, from its sidecar' },
      { file: 'dog/deep/c.png', caption: 'a dog' },
    ],
    broken: [],
  })
  const set = await imageFolder({ dir, size: 8 })
  expect([set.length, set.shape, set.classes, set.skipped]).toEqual([3, [3, 8, 8], ['cat', 'dog'], []])
  const { images, captions, labels } = await set.batch([0, 1, 2])
  const seen = imagesOf(images).map((image, i) => [toPixels(image).data[0], captions[i], Number(labels.data[i])])
  expect(seen.sort(([a], [b]) => Number(a) - Number(b))).toEqual([
    [10, 'a cat', 0],
    [20, 'a cat, from its sidecar', 0],
    [30, 'a dog', 1],
  ])
})

test('all that is broken is told at once, or left out with a report', async () => {
  const whole = await encodeJpeg(picture(64, 64, (y, x) => (y * x) % 256))
  const dir = await folder({
    'good.png': grey(1),
    'cut.jpg': whole.subarray(0, whole.length / 2),
    'fake.png': 'hello',
    'odd.gif': 'GIF89a',
    'metadata.jsonl': [
      '{"file_name": "good.png", "text": "fine"}',
      '{"file_name": "good.png", "text": "again"}',
      '{"file_name": "lost.png", "text": "x"}',
      '{"file_name": "../out.png", "text": "x"}',
      '{"text": "no name"}',
      'null',
      'not json',
    ].join('\n'),
  })
  const { broken, message } = await errorOf(imageFolder({ dir, size: 8 }))
  expect(broken.map(({ file }) => file)).toEqual([
    'cut.jpg',
    'fake.png',
    'metadata.jsonl:2',
    'metadata.jsonl:3',
    'metadata.jsonl:4',
    'metadata.jsonl:5',
    'metadata.jsonl:6',
    'metadata.jsonl:7',
    'odd.gif',
  ])
  expect(message).toContain(`${dir}: `)
  expect(message).toContain("broken: 'skip'")
  expect(message).toMatch(/cut\.jpg: .*truncated or damaged/)
  expect(message).toMatch(/fake\.png: not a picture/)
  expect(message).toMatch(/jsonl:2: good\.png is named twice/)
  expect(message).toMatch(/jsonl:3: lost\.png does not exist/)
  expect(message).toMatch(/jsonl:4: .*outside/)
  expect(message).toMatch(/odd\.gif: only PNG/)

  const set = await imageFolder({ dir, size: 8, broken: 'skip' })
  expect(set.files).toEqual(['good.png'])
  expect(set.skipped).toHaveLength(9)
  // Headers alone do not tell that a file is cut off: reading it does, and names it.
  const trusting = await imageFolder({ dir, size: 8, broken: 'skip', verify: 'header' })
  expect(trusting.files).toEqual(['cut.jpg', 'good.png'])
  const late = await errorOf(trusting.batch([0, 1]))
  expect(late.broken.map(({ file }) => file)).toEqual(['cut.jpg'])
})

test('a folder that is missing, empty or wholly broken is an error', async () => {
  await errorOf(imageFolder({ dir: join(desk, 'none'), size: 8 }))
  expect((await errorOf(imageFolder({ dir: await folder({ 'a.txt': 'x' }), size: 8 }))).message).toContain('no PNG, JPEG or WebP')
  const bad = await folder({ 'a.png': 'x' })
  expect((await errorOf(imageFolder({ dir: bad, size: 8, broken: 'skip' }))).broken).toHaveLength(1)
  const silent = await folder({ 'a.png': grey(1), 'b.png': grey(2), 'b.txt': 'b' })
  expect((await errorOf(imageFolder({ dir: silent, size: 8, captioned: true }))).broken).toEqual([
    { file: 'a.png', reason: 'has no caption' },
  ])
})

test('links are followed, to files and folders, and told; those that lead nowhere or in a circle are broken', async () => {
  const [dir, elsewhere] = [await folder({ 'a.png': grey(5) }), await folder({ 'c.png': grey(6), 'deep/d.png': grey(7) })]
  symlinkSync(join(dir, 'a.png'), join(dir, 'b.png'))
  symlinkSync(elsewhere, join(dir, 'more'))
  const { images, broken, notes } = listImages(dir)
  expect(images.map(({ file }) => file)).toEqual(['a.png', 'b.png', 'more/c.png', 'more/deep/d.png'])
  expect([broken, notes]).toEqual([[], ['3 of 4 pictures lie behind links']])
  symlinkSync(dir, join(dir, 'loop'))
  symlinkSync(join(dir, 'nothing'), join(dir, 'gone.png'))
  symlinkSync('itself', join(dir, 'itself'))
  const found = listImages(dir)
  expect(found.images).toEqual(images)
  expect(found.broken.map(({ file, reason }) => `${file}: ${reason}`).sort()).toEqual([
    'gone.png: a link to nothing; remove it, or bring back what it leads to',
    'itself: a link that leads to itself; remove it',
    'loop: a link to a folder that it lies in; remove it',
  ])
  expect((await errorOf(imageFolder({ dir: join(dir, 'itself'), size: 8 }))).message).toContain('a link that leads to itself')
})

test('pictures are found by their first bytes, whatever their names', async () => {
  const [png, jpeg] = [await grey(1), await encodeJpeg(picture(8, 8, () => 9))]
  const dir = await folder({
    'a.jpg': png,
    'b.png': jpeg,
    'c.JPE': jpeg,
    'd.jfif': jpeg,
    noending: png,
    'e.png.bak': png,
    'my.folder/f': png,
    'my.folder/f.txt': 'a folder with a dot',
    'g.dat': 'GIF89a and more',
    'h.dat': 'text',
  })
  const { images, broken } = listImages(dir)
  expect(images.map(({ file }) => file)).toEqual(['a.jpg', 'b.png', 'c.JPE', 'd.jfif', 'e.png.bak', 'my.folder/f', 'noending'])
  expect(images.find(({ file }) => file === 'my.folder/f')?.caption).toBe('a folder with a dot')
  expect(broken).toEqual([{ file: 'g.dat', reason: 'only PNG, JPEG and WebP are read; convert it' }])
})

test('pictures whose captions say left or right are not mirrored', async () => {
  const ramp = await encodePng(picture(8, 8, (_, x) => x * 30))
  const dir = await folder({ 'a.png': ramp, 'a.txt': 'a cat left of a dog', 'b.png': ramp, 'b.txt': 'a cat' })
  const warnings: string[] = []
  const set = await imageFolder({ dir, size: 8, flip: true, warn: (text) => warnings.push(text) })
  expect(warnings).toEqual([`${dir}: 1 pictures are never mirrored, as their captions say left or right`])
  const { images, captions } = await set.batch(Array.from({ length: 60 }, (_, i) => i))
  const mirrored = { 'a cat': 0, 'a cat left of a dog': 0 }
  for (const [i, image] of imagesOf(images).entries())
    if (Number(image.data[0]) > 0) mirrored[captions[i] as keyof typeof mirrored]++
  expect(mirrored['a cat left of a dog']).toBe(0)
  expect(mirrored['a cat']).toBeGreaterThan(5)
})

test('one channel is luminance, and classes can be required', async () => {
  const red = await encodePng(
    new NdArray(
      Uint8Array.from({ length: 192 }, (_, i) => (i % 3 ? 0 : 255)),
      [8, 8, 3],
      'u8',
    ),
  )
  const dir = await folder({ 'one/a.png': red, 'b.png': red })
  const warnings: string[] = []
  const set = await imageFolder({ dir, size: 4, channels: 1, warn: (text) => warnings.push(text) })
  expect(warnings.join()).toContain("1 pictures lie in no class's folder and count as one: b.png")
  const { images } = await set.batch([0, 1])
  expect([set.shape, images.shape]).toEqual([
    [1, 4, 4],
    [2, 1, 4, 4],
  ])
  // 0.299 of 255, as Pillow's mode L has it.
  expect(toPixels(imagesOf(images)[0] as NdArray<'f32'>).data[0]).toBe(76)
  expect((await errorOf(imageFolder({ dir, size: 4, labelled: true }))).broken).toEqual([
    { file: 'b.png', reason: 'lies in no class’s folder' },
  ])
})

test('the shorter side is resized and the middle is cut out', async () => {
  // Three squares side by side: the middle one stays.
  const wide = picture(20, 60, (_, x) => [50, 150, 250][Math.floor(x / 20)] as number)
  const tall = picture(60, 20, (y) => [50, 150, 250][Math.floor(y / 20)] as number)
  for (const pixels of [wide, tall]) {
    const set = await imageFolder({ dir: await folder({ 'a.png': encodePng(pixels) }), size: 10 })
    const { images } = await set.batch([0])
    const { data } = toPixels(imagesOf(images)[0] as NdArray<'f32'>)
    expect(data[(5 * 10 + 5) * 3]).toBe(150)
    expect(data.filter((level) => Math.abs(level - 150) <= 30).length).toBeGreaterThan(0.95 * data.length)
  }
})

test('random crops and flips differ by position, and are the same for the same seed', async () => {
  const ramp = await encodePng(picture(16, 64, (_, x) => x * 4))
  const dir = await folder({ 'a.png': ramp })
  const row = async (seed: number, positions: number[]) => {
    const set = await imageFolder({ dir, size: 16, crop: 'random', flip: true, seed })
    return imagesOf((await set.batch(positions)).images).map((image) => [...toPixels(image).data.subarray(0, 48)])
  }
  const positions = Array.from({ length: 40 }, (_, i) => i)
  const rows = await row(1, positions)
  expect(await row(1, [...positions].reverse())).toEqual(rows.reverse())
  expect(await row(2, positions)).not.toEqual(rows)
  expect(new Set(rows.map(String)).size).toBeGreaterThan(20)
  const mirrored = rows.filter((levels) => (levels[0] as number) > (levels[45] as number)).length
  expect(mirrored).toBeGreaterThan(8)
  expect(mirrored).toBeLessThan(32)
  const lows = rows.map((levels) => Math.min(...levels))
  expect(Math.min(...lows)).toBeLessThan(40)
  expect(Math.max(...lows)).toBeGreaterThan(150)
})

test('an epoch shows every picture once, each epoch in another order', async () => {
  const names = Array.from({ length: 12 }, (_, i) => `${i}.png`)
  const dir = await folder(Object.fromEntries(names.map((name, i) => [name, grey(i * 10)])))
  const set = await imageFolder({ dir, size: 4, seed: 5 })
  const epoch = async (e: number) =>
    imagesOf((await set.batch(names.map((_, i) => e * 12 + i))).images).map((image) => toPixels(image).data[0] as number)
  const [first, second] = [await epoch(0), await epoch(1)]
  for (const order of [first, second]) expect([...order].sort((a, b) => a - b)).toEqual(names.map((_, i) => i * 10))
  expect(first).not.toEqual(second)
})
