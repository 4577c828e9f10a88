import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { decodePixels } from './decode.ts'
import { encodeJpeg, encodePng, encodeWebp } from './encode.ts'
import { ImageError } from './errors.ts'
import { optionsOf, parseComfyGraph, parseParameters, readPictureText, readSettings } from './settings.ts'

const text =
  'a red fox, größer σ 🦊\nNegative prompt: blurry, low\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 42, Size: 512x768, Clip skip: 2, Denoising strength: 0.6, Lora hashes: "a: 1, b: 2", Model: v1'
const picture = (C = 3) =>
  new NdArray(
    Uint8Array.from({ length: 6 * 5 * C }, (_, i) => (i * 37) % 256),
    [5, 6, C],
    'u8',
  )

test.each([
  ['PNG', () => encodePng(picture(), { text: { parameters: text } })],
  ['JPEG', () => encodeJpeg(picture(), { parameters: text })],
  ['WebP', () => encodeWebp(picture(), { parameters: text })],
  ['lossless WebP with alpha', () => encodeWebp(picture(4), { parameters: text, lossless: true })],
])('settings come back from a %s, which is still a picture', async (_, encode) => {
  const bytes = await encode()
  expect(readPictureText(bytes).get('parameters')).toBe(text)
  expect((await decodePixels(bytes)).shape).toEqual([5, 6, 3])
  const file = join(temporaryFolder(), 'x')
  writeFileSync(file, bytes)
  expect(optionsOf((await readSettings(file)) as never)).toEqual({
    prompt: 'a red fox, größer σ 🦊',
    negative: 'blurry, low',
    steps: 20,
    guidance: 7.5,
    seed: 42,
    width: 512,
    height: 768,
    strength: 0.6,
    clipSkip: 1,
    scheduler: 'DPM++ 2M Karras',
  })
})

test('alpha and levels of a WebP stay as they are when it gets settings', async () => {
  const with_ = await decodePixels(await encodeWebp(picture(4), { lossless: true, parameters: 'x' }), { channels: 4 })
  const without = await decodePixels(await encodeWebp(picture(4), { lossless: true }), { channels: 4 })
  expect(with_.data).toEqual(without.data)
})

test('parameters are read as the web UI writes them', () => {
  expect(parseParameters('two\nlines')).toEqual({ prompt: 'two\nlines', settings: {} })
  expect(parseParameters(text).settings['Lora hashes']).toBe('a: 1, b: 2')
  expect(parseParameters('a\nNegative prompt: b\nc\nSteps: 5, Seed: 1')).toEqual({
    prompt: 'a',
    negative: 'b\nc',
    settings: { Steps: '5', Seed: '1' },
  })
  expect(optionsOf(parseParameters('a\nSteps: x, Seed: 1, Size: 5'))).toEqual({ prompt: 'a\nSteps: x, Seed: 1, Size: 5' })
})

test("ComfyUI's graph gives its sampler's numbers and the texts behind its links", () => {
  const graph = {
    3: {
      class_type: 'KSampler',
      inputs: {
        seed: 5,
        steps: 20,
        cfg: 8,
        sampler_name: 'euler',
        scheduler: 'normal',
        denoise: 1,
        positive: ['6', 0],
        negative: ['9', 0],
      },
    },
    4: { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'v1.safetensors' } },
    5: { class_type: 'EmptyLatentImage', inputs: { width: 512, height: 640 } },
    6: { class_type: 'CLIPTextEncode', inputs: { text: 'a fox', clip: ['4', 1] } },
    7: { class_type: 'CLIPTextEncode', inputs: { text: 'blurry', clip: ['4', 1] } },
    9: { class_type: 'ConditioningCombine', inputs: { a: ['7', 0], b: ['9', 0] } },
  }
  expect(optionsOf(parseComfyGraph(JSON.stringify(graph)) as never)).toEqual({
    ...{ prompt: 'a fox', negative: 'blurry', steps: 20, guidance: 8, seed: 5, width: 512, height: 640, strength: 1 },
    scheduler: 'euler',
  })
  for (const none of ['', '[]', '{}', 'null', '{"3":{"class_type":"KSampler"}}']) expect(parseComfyGraph(none)).toBeUndefined()
})

test('what a JPEG cannot hold is refused; what is broken reads as nothing or an ImageError, never a crash', async () => {
  await expect(encodeJpeg(picture(), { parameters: 'x'.repeat(40_000) })).rejects.toThrow(ArgumentError)
  await expect(readSettings('/nowhere/x.png')).rejects.toThrow(ImageError)
  const files = [await encodeJpeg(picture(), { parameters: text }), await encodeWebp(picture(), { parameters: text })]
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 8 }),
      fc.nat(600),
      (file, edits, cut) => {
        const bytes = Uint8Array.from(file)
        for (const [at, value] of edits) bytes[at % bytes.length] = value
        try {
          readPictureText(bytes.subarray(0, bytes.length - (cut % bytes.length)))
        } catch (error) {
          expect(error).toBeInstanceOf(ImageError)
        }
      },
    ),
    { numRuns: 500, seed: 3 },
  )
})
