import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BufferSource, EncodedPacketSink, Input, MP4, WEBM } from 'mediabunny'
import sharp from 'sharp'
import { afterAll, expect, test } from 'vitest'
import { decodePixels, readPictureText } from '../images/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { filmStrip, readFilm, readFilmText, saveFilm } from './index.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-video-'))
afterAll(() => rmSync(desk, { recursive: true }))

/** A bright square that goes right by four pixels a picture. */
const frame = (k: number, [H, W] = [33, 47]) => {
  const data = new Uint8Array(H * W * 3).fill(40)
  for (let y = 8; y < 24; y++) for (let x = 4 * k; x < 4 * k + 12; x++) data.set([220, 180, 60], (y * W + x) * 3)
  return new NdArray(data, [H, W, 3], 'u8')
}
const film = Array.from({ length: 7 }, (_, k) => frame(k))
const parameters = 'a fox → left\nSteps: 3, Seed: 1, Version: langevin 0'
const made = async (name: string) => {
  const path = join(desk, name)
  await saveFilm(path, film, { rate: 12.5, parameters })
  return path
}

test.each(['mp4', 'webm'] as const)('%s: times, size and settings are in the file', async (ending) => {
  const bytes = readFileSync(await made(`a.${ending}`))
  const input = new Input({ source: new BufferSource(bytes), formats: [MP4, WEBM] })
  const track = await input.getPrimaryVideoTrack()
  const times: number[] = []
  let keys = 0
  for await (const packet of new EncodedPacketSink(track!).packets(undefined, undefined, { verifyKeyPackets: true })) {
    times.push(packet.timestamp)
    keys += Number(packet.type === 'key')
  }
  expect(times.map((t) => Math.round(t * 100))).toEqual([0, 8, 16, 24, 32, 40, 48])
  expect(keys).toBe(ending === 'webm' ? 7 : 1)
  expect(await track?.getCodec()).toBe(ending === 'webm' ? 'vp8' : 'avc')
  // H.264 takes even sides.
  expect([await track?.getCodedWidth(), await track?.getCodedHeight()]).toEqual(ending === 'webm' ? [47, 33] : [48, 34])
  expect((await readFilmText(bytes)).get('parameters')).toBe(parameters)
  input.dispose()
})

test('animated WebP and GIF have every picture for its time, and a WebP the settings', async () => {
  for (const ending of ['webp', 'gif']) {
    const path = await made(`a.${ending}`)
    const { pages, delay, width, pageHeight } = await sharp(path, { animated: true }).metadata()
    expect([pages, delay?.every((ms) => ms === 80), width, pageHeight]).toEqual([7, true, 47, 33])
  }
  expect(readPictureText(readFileSync(join(desk, 'a.webp'))).get('parameters')).toBe(parameters)
})

test('a folder of numbered PNGs, exact, each with the settings; one that holds files is left alone', async () => {
  const path = await made('frames/')
  expect(readdirSync(path)).toEqual(film.map((_, k) => `000${k}.png`))
  for (const [k, one] of film.entries()) expect((await decodePixels(join(path, `000${k}.png`))).data).toEqual(one.data)
  expect(readPictureText(readFileSync(join(path, '0000.png'))).get('parameters')).toBe(parameters)
  await expect(made('frames/')).rejects.toThrow('holds files already')
  expect(readdirSync(desk).filter((name) => name.includes('tmp'))).toEqual([])
})

test('films are read again: from pictures exactly, from WebP, WebM and GIF nearly', async () => {
  const exact = await readFilm(join(desk, 'frames'))
  expect(exact.shape).toEqual([7, 3, 33, 47])
  expect(exact.data[3 * 33 * 47 * 2 + 9 * 47 + 10]).toBeCloseTo((2 * 220) / 255 - 1, 6)
  for (const ending of ['webp', 'webm', 'gif']) {
    const found = await readFilm(join(desk, `a.${ending}`))
    expect(found.shape).toEqual(exact.shape)
    expect(found.sub(exact).abs().mean().item()).toBeLessThan(0.05)
  }
  await expect(readFilm(join(desk, 'a.mp4'))).rejects.toThrow('an animated WebP or GIF')
  await expect(readFilm(join(desk, 'none.webp'))).rejects.toThrow('cannot be read')
})

test('what cannot be written is told, and leaves nothing behind', async () => {
  await expect(saveFilm(join(desk, 'a.avi'), film, { rate: 8 })).rejects.toThrow('.mp4, .webm, .webp, .gif')
  await expect(saveFilm(join(desk, 'b.mp4'), [frame(0), frame(1, [32, 48])], { rate: 8 })).rejects.toThrow(
    'picture 1 of the film is 48×32',
  )
  await expect(saveFilm(join(desk, 'b.mp4'), [], { rate: 8 })).rejects.toThrow('no pictures')
  await expect(saveFilm(join(desk, 'b.mp4'), film, { rate: 0 })).rejects.toThrow('a film of 0 pictures a second')
  expect(readdirSync(desk)).not.toContain('b.mp4')
})

test('a strip shows the first picture, the last, and some between', () => {
  const { shape } = filmStrip(film, 3)
  expect(shape).toEqual(filmStrip([film[0]!, film[3]!, film[6]!]).shape)
  expect(filmStrip(film, 3).data).toEqual(filmStrip([film[0]!, film[3]!, film[6]!]).data)
})
