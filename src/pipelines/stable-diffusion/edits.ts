import { ArgumentError } from '../../core/errors.ts'
import { alphasCumprod, betaSchedule, rescaled, schedulerFromConfig } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Choices } from './choices.ts'
import { conditions, type Size } from './conditions.ts'
import { imageToImage } from './image-to-image.ts'
import type { Loaded } from './loaded.ts'
import type { Settings } from './options.ts'
import { asBatch, fitted, levelsOf } from './pictures.ts'
import { callsUntil, type Generating, guidedBy, sampleLatents } from './sampling.ts'

function given(settings: Settings, task: string): NdArray {
  if (!settings.image) throw new ArgumentError(`image: ${task} needs a picture`)
  return settings.image
}

/**
 * Latents of a picture changed as the prompt says (InstructPix2Pix: Brooks et al. 2023). Guided by the text and by the picture,
 * eq. 3; unguided where the one is 1 or less, or the other less than 1.
 */
export async function* instructedEdit(loaded: Loaded, settings: Settings, choices: Choices): Generating {
  const { guidance, imageGuidance, height, width, scheduler, steps } = choices
  const pixels = asBatch(fitted(levelsOf(given(settings, 'an instructed edit')), choices))
  const guided = guidance > 1 && imageGuidance >= 1
  const { rows, embedded } = await conditions(loaded, settings, guided ? guidance : 1, choices)
  const mode = await loaded.latents.encodeMode(pixels)
  await loaded.done(loaded.latents)
  const { options, vae } = loaded.components
  const seen = options.is_cosxl_edit === true ? mode.mul(vae.config.scaling_factor) : mode
  const [negative, positive] = [rows[0], rows.at(-1)] as const
  const three =
    rows.length === 2 && negative && positive
      ? [positive, negative, negative].map((row) => ({ ...row, timeIds: positive.timeIds }))
      : rows
  const combine = (output: NdArray<'f32'>) => {
    if (output.shape[0] === 1) return output
    const [text, image, none] = [0, 1, 2].map((i) => output.slice(0, i, i + 1)) as [NdArray, NdArray, NdArray]
    const sum = none.add(text.sub(image).mul(guidance)).add(image.sub(none).mul(imageGuidance))
    return rescaled(sum, text, settings.rescale)
  }
  return yield* sampleLatents(loaded, settings, choices, {
    rows: three,
    embedded,
    combine,
    end: callsUntil(scheduler, steps, settings.denoisingEnd),
    begin: (generator, _, initialSigma) => ({
      x: generator.randn([1, loaded.latents.channels, height / loaded.factor, width / loaded.factor]).mul(initialSigma),
      beside: three.length === 3 ? NdArray.concat([seen, seen, NdArray.zeros(seen.shape)]) : seen,
    }),
  })
}

/**
 * Latents of a picture four times as large, from the picture and a prompt: the network sees it, noised to a level that it is told
 * (Rombach et al. 2022; noise conditioning as Ho et al. 2022b). `choices` has the given picture's size.
 */
export async function* upscale(loaded: Loaded, settings: Settings, choices: Choices): Generating {
  const { guidance, noiseLevel, height, width } = choices
  const { lowResScheduler, place } = loaded.components
  if (!lowResScheduler)
    throw new ArgumentError(`${place}: an upscaler needs low_res_scheduler/, which says how its picture is noised`)
  const pixels = asBatch(fitted(levelsOf(given(settings, 'upscaling')), { ...choices, kernel: 'bicubic' }))
  const { rows, embedded } = await conditions(loaded, settings, guidance, choices)
  const bar = barOf(lowResScheduler, noiseLevel)
  return yield* sampleLatents(loaded, settings, choices, {
    rows: rows.map((row) => ({ ...row, classLabel: noiseLevel })),
    embedded,
    combine: guidedBy(guidance, 0),
    begin(generator, _, initialSigma) {
      const noise = generator.randn(pixels.shape)
      const beside = pixels.mul(Math.sqrt(bar)).add(noise.mul(Math.sqrt(1 - bar)))
      return { x: generator.randn([1, loaded.latents.channels, height, width]).mul(initialSigma), beside }
    },
  })
}

/** ᾱ of a level. */
function barOf(config: NonNullable<Loaded['components']['lowResScheduler']>, level: number): number {
  const options = schedulerFromConfig(config).options as Record<string, never>
  const { num_train_timesteps: steps, beta_start: start, beta_end: end, trained_betas: trained } = options
  const bars = alphasCumprod(
    trained ? Float32Array.from(trained) : betaSchedule(options.beta_schedule as never, { steps, start, end }),
  )
  const bar = bars[level]
  if (bar === undefined) throw new ArgumentError(`noiseLevel: ${level} is none of the ${bars.length} that low_res_scheduler has`)
  return bar
}

/** Latents of a picture made anew in the depth that is given (depth model of Stable Diffusion 2): image to image beside a depth map. */
export async function* depthToImage(loaded: Loaded, settings: Settings, choices: Choices): Generating {
  const { depth } = settings
  if (!depth) throw new ArgumentError('depth: this model needs a depth map, [1, H, W]; no network that estimates one is run here')
  const size = { height: Math.floor(choices.height / loaded.factor), width: Math.floor(choices.width / loaded.factor) }
  const map = cubic(depth.cast('f32').slice(0, 0, 1), size)
  const [low, high] = [map.min().item(), map.max().item()]
  const beside = map
    .sub(low)
    .div(high - low)
    .mul(2)
    .sub(1)
    .reshape([1, 1, size.height, size.width])
  return yield* imageToImage(loaded, settings, choices, [], beside)
}

/** PyTorch's bicubic interpolation (a = −3/4, no smoothing where it shrinks): [1, H, W] → [1, height, width]. */
function cubic(map: NdArray<'f32'>, { height, width }: Size): NdArray<'f32'> {
  const [, H, W] = map.shape as [number, number, number]
  const [rows, columns] = [cubicTaps(H, height), cubicTaps(W, width)]
  const out = Float32Array.from({ length: height * width }, (_, i) => {
    const [across, down] = [columns[i % width], rows[Math.floor(i / width)]] as [CubicTap[], CubicTap[]]
    const row = (y: number) => across.reduce((sum, { at, weight }) => sum + weight * (map.data[y * W + at] as number), 0)
    return down.reduce((sum, { at, weight }) => sum + weight * row(at), 0)
  })
  return new NdArray(out, [1, height, width], 'f32')
}

interface CubicTap {
  readonly at: number
  readonly weight: number
}

function cubicTaps(source: number, count: number): CubicTap[][] {
  const a = -0.75
  const kernel = (x: number) => {
    const d = Math.abs(x)
    return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
  }
  return Array.from({ length: count }, (_, i) => {
    const place = (i + 0.5) * (source / count) - 0.5
    const first = Math.floor(place)
    return [-1, 0, 1, 2].map((k) => ({
      at: Math.min(source - 1, Math.max(0, first + k)),
      weight: kernel(place - first - k),
    }))
  })
}
