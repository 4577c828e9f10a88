import { existsSync, mkdirSync, statSync } from 'node:fs'
import { basename, extname, join, resolve } from 'node:path'
import { z } from 'zod'
import type { NdArray } from '../runtime/ndarray.ts'
import { defineCommand, type Io, onInterrupt, printResult, version } from './command.ts'
import { UsageError } from './errors.ts'
import { writable } from './outputs.ts'

const pixels = z.int().min(0)

const options = z.object({
  pictures: z.array(z.string().min(1)).min(1).meta({ description: 'pictures, and folders of them' }),
  model: z.string().default('lanczos').meta({
    description: 'lanczos; a published file of Real-ESRGAN, ESRGAN, SwinIR or Swin2SR; a folder; or the name of a bundled one',
  }),
  scale: z.number().positive().max(64).optional().meta({
    description: "how much larger; the model's own unless given, 4 of lanczos. A last Lanczos resize makes the difference",
  }),
  tile: pixels.default(256).meta({ description: 'pixels a side of the parts that a larger picture is made in; 0 for none' }),
  overlap: pixels.optional().meta({
    description: "pixels that parts share, averaged; unless given the model's own way: 32 averaged (SwinIR), 10 seen beyond each",
  }),
  out: z.string().optional().meta({
    description: 'the file to write, or for several pictures the folder; beside each picture, as NAME-x4.png, unless given',
  }),
  device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').meta({ description: 'what runs the network' }),
  threads: z.int().min(0).optional().meta({ description: 'processor cores to use; 0 for all' }),
  draw: z.boolean().default(true).meta({ description: 'do not show the pictures in the terminal' }),
  json: z.boolean().default(false).meta({ description: 'print one line of JSON, draw nothing' }),
})

export const upscale = defineCommand({
  name: 'upscale',
  summary: 'larger pictures, by signal processing or a network',
  description:
    'Enlarges pictures, or restores them at their size: by Lanczos resampling, or by the published networks of Real-ESRGAN (GAN), SwinIR and Swin2SR (transformers). Alpha, shades of grey, 16 bits and the way that a camera was held are kept. Results are PNG.',
  positional: ['pictures'],
  options,
  examples: [
    ['langevin upscale fox.png', 'four times as large, by Lanczos'],
    ['langevin upscale fox.png --model RealESRGAN_x4plus.pth --out large.png', 'by a published network'],
    ['langevin upscale photos/ --model swinir.pth --scale 2 --out large/', 'a folder of pictures, twice as large'],
    ['langevin upscale noisy.png --model 005_colorDN.pth', 'restored at its size'],
  ],
  async run({ pictures, model, out, device, threads, draw, json, ...run }, io) {
    const files = await filesOf(pictures)
    const targetOf = targets(files, out)
    const [{ loadUpscaler, finish }, images, { chooseDevice }] = await Promise.all([
      import('../pipelines/index.ts'),
      import('../images/index.ts'),
      import('../runtime/devices.ts'),
    ])
    if (device !== 'cpu') await chooseDevice(device)
    const signal = onInterrupt()
    const upscaler = loadUpscaler(model, { device, ...(threads !== undefined && { threads }) })
    const made: Record<string, unknown>[] = []
    try {
      const scale = run.scale ?? upscaler.scale
      for (const file of files) if (targetOf(file, scale)) writable(targetOf(file, scale))
      for (const [k, file] of files.entries()) {
        const began = performance.now()
        const { planes, depth } = await readPlanes(file)
        const bar = await progressOf(io, files.length > 1 ? `${k + 1}/${files.length} ${basename(file)}` : undefined)
        const result = await finish(upscaler.upscale(planes, { ...run, signal }), bar.update).finally(bar.stop)
        const target = targetOf(file, scale)
        const [, height, width] = result.shape as [number, number, number]
        const settings = { Upscaler: upscaler.name, Model: basename(model), Scale: scale, Source: basename(file) }
        const parameters = Object.entries(settings).map(([key, value]) => `${key}: ${value}`)
        await images.savePlanes(target, result, {
          depth,
          text: { Software: `langevin ${version()}`, parameters: parameters.join(', ') },
        })
        if (draw && !json) await images.drawInTerminal(await images.decodePixels(target), { stream: io.out })
        const seconds = (performance.now() - began) / 1000
        made.push({ file: target, from: file, upscaler: upscaler.name, scale, size: `${width}x${height}`, depth, seconds })
      }
    } finally {
      await upscaler.release()
    }
    printResult(io, json, { pictures: made }, () => made.map(({ file }) => file).join('\n'))
  },
})

/** The pictures that are named, and those of the folders among them. @throws UsageError */
async function filesOf(names: readonly string[]): Promise<string[]> {
  const { listImages } = await import('../data/index.ts')
  const files = names.flatMap((name) => {
    if (!existsSync(name)) throw new UsageError(`<pictures>: no such file or folder: ${name}`)
    if (!statSync(name).isDirectory()) return [resolve(name)]
    const { images } = listImages(name)
    if (images.length === 0) throw new UsageError(`<pictures>: ${name} has no PNG, JPEG or WebP`)
    return images.map(({ file }) => resolve(name, file))
  })
  return [...new Set(files)]
}

/** Where each result goes. @throws UsageError where two would take one place */
function targets(files: readonly string[], out: string | undefined): (file: string, scale: number) => string {
  const stem = (file: string) => basename(file, extname(file))
  if (out === undefined) return (file, scale) => join(file, '..', `${stem(file)}-x${scale}.png`)
  const folder = files.length > 1 || out.endsWith('/') || (existsSync(out) && statSync(out).isDirectory())
  if (!folder) {
    if (!/\.png$/i.test(out)) throw new UsageError(`--out: ${out} must end in .png, or be a folder`)
    return () => resolve(out)
  }
  if (existsSync(out) && !statSync(out).isDirectory())
    throw new UsageError(`--out: ${out} is a file; ${files.length} pictures need a folder`)
  mkdirSync(out, { recursive: true })
  const names = files.map(stem)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new UsageError(`--out: two pictures are called ${twice}; give them folders of their own`)
  return (file) => resolve(out, `${stem(file)}.png`)
}

/** A picture's planes in [0, 1], as many as its format has, and the bits of its levels. */
async function readPlanes(file: string): Promise<{ planes: NdArray<'f32'>; depth: 8 | 16 }> {
  const { decodeImage, readHeader } = await import('../images/index.ts')
  const { NdArray } = await import('../runtime/ndarray.ts')
  const { hasAlpha, grey, depth } = await readHeader(file)
  const decoded = await decodeImage(file, { channels: hasAlpha ? 4 : grey ? 1 : 3, depth })
  const planes = decoded.map((value) => (value + 1) / 2)
  const kept = grey && hasAlpha ? NdArray.concat([planes.slice(0, 0, 1), planes.slice(0, 3, 4)], 0) : planes
  return { planes: kept, depth }
}

/** A bar over the tiles of a picture that has several. */
async function progressOf(io: Io, title?: string) {
  const { progress } = await import('../training/logs/progress.ts')
  if (title !== undefined) io.err.write(`${title}\n`)
  let bar: ReturnType<typeof progress> | undefined
  return {
    update: ({ done, total }: { readonly done: number; readonly total: number }) => {
      if (total === 1) return
      bar ??= progress({ total, stream: io.err })
      bar.update(done)
    },
    stop: () => bar?.stop(),
  }
}
