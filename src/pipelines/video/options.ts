import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { numOption, schedulerOption, seedOption, stepsOption } from '../options.ts'
import type { Result } from '../page.ts'

/** What every page of films takes. */
export const filmOptions = {
  prompt: z.string().meta({ description: 'what the picture shows' }),
  negative: z.string().default('').meta({ description: 'what it does not show' }),
  steps: stepsOption.default(50),
  seed: seedOption,
  num: numOption,
  width: z.int().positive().optional().meta({ description: "in pixels; the model's own unless given" }),
  height: z.int().positive().optional().meta({ description: 'in pixels' }),
  frames: z
    .int()
    .positive()
    .optional()
    .meta({ description: "of a film; as many as the model's own pipeline makes unless given" }),
  fps: z.number().positive().max(240).optional().meta({ description: "frames a second of the film's file" }),
  scheduler: schedulerOption,
}

export const guidanceOption = z.number().meta({ description: 'how strongly the prompt guides; 1 or less is not at all' })
export const eta = z.number().min(0).max(1).default(0).meta({ description: 'noise that ddim and tcd renew' })
export const clean = z.boolean().default(true).meta({
  description: 'clean the prompt as captions of training were: addresses, numbers of articles, file names and brackets go',
})
export const maxLengthOption = z.int().min(1).max(4096).optional().meta({
  description: "tokens of T5 that the prompt is cut or padded to; as many as the model's own pipeline takes unless given",
})

/** @throws ArgumentError where a side is no multiple of what one token of the network stands for */
export function checkSides({ width, height }: { readonly width: number; readonly height: number }, unit: number): void {
  if (width % unit !== 0 || height % unit !== 0)
    throw new ArgumentError(`width and height must be multiples of ${unit}; got ${width} × ${height}`)
}

/** Frames [num, T, C, H, W] as a page's result. */
export const filmOf = (frames: NdArray<'f32'>, rate: number): Result => ({ type: 'frames', frames, rate })

/** Latents [num, C, T, h, w] → frames [num, T, 3, H, W], each decoded by itself. */
export async function decodeEach(
  latents: NdArray<'f32'>,
  decode: (pictures: NdArray<'f32'>) => Promise<NdArray<'f32'>>,
): Promise<NdArray<'f32'>> {
  const [num, C, T, h, w] = latents.shape as [number, number, number, number, number]
  const pictures = await decode(latents.permute([0, 2, 1, 3, 4]).reshape([num * T, C, h, w]))
  return pictures.reshape([num, T, ...pictures.shape.slice(1)])
}
