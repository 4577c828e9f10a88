import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { ddpmParts } from '../ddpm/folder.ts'
import { ddpmOptions } from '../ddpm/model.ts'
import { type Page, page } from '../page.ts'
import { scoreSdeOptions, sdeSamplers } from './model.ts'
import { createVeScore } from './variance-exploding.ts'

/** As many as diffusers' pipeline takes. */
const STEPS = 2000

const { num, batch } = ddpmOptions.shape
const { seed, tolerance } = scoreSdeOptions.shape
const options = z.object({
  num,
  steps: z
    .int()
    .positive()
    .optional()
    .meta({ description: `steps of pc and sde, ${STEPS} by default; ode chooses its own` }),
  seed,
  sampler: scoreSdeOptions.shape.sampler.meta({
    description: 'pc: the reverse SDE, Langevin steps before each of its steps; sde: without them; ode: the probability-flow ODE',
  }),
  tolerance,
  batch,
})

/** Unconditional pictures by the variance-exploding SDE (Song et al. 2021): NCSN++. */
export const scoreSde: Page = page({
  classes: ['ScoreSdeVePipeline'],
  output: 'pictures',
  parts: ddpmParts,
  options,
  open: ({ unet, scheduler }, { source, compile }) => ({
    className: source.className,
    ...createVeScore({ config: unet.config, weights: unet.weights, scheduler }, compile),
  }),
  plan: ({ className }, { sampler, steps }) => {
    if (sampler === 'ode' && steps !== undefined)
      throw new ArgumentError('steps: the sampler ode chooses its own; give pc or sde, or no steps')
    return { className, settings: { Sampler: sdeSamplers[sampler], Steps: sampler === 'ode' ? undefined : (steps ?? STEPS) } }
  },
  async *generate(model, settings) {
    scoreSde.plan(model, settings)
    const sampling = model.sample({ ...settings, steps: settings.steps ?? STEPS })
    for (let next = await sampling.next(); ; next = await sampling.next()) {
      if (next.done) return { type: 'pictures', pictures: next.value }
      const { i, done, total, denoised } = next.value
      const preview = async () => ({ type: 'pictures', pictures: denoised.cast('f32') }) as const
      yield { picture: 0, i, done, total, latents: denoised, preview }
    }
  },
})
