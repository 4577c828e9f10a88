import { z } from 'zod'
import { type Page, page } from '../page.ts'
import { ddpmClasses, ddpmParts, ddpmPartsOf } from './folder.ts'
import { ddpmOptions } from './model.ts'
import { pictureModels, pictureSamplers } from './unconditional.ts'

const options = z.object({
  ...ddpmOptions.shape,
  scheduler: z.enum(pictureSamplers).optional().meta({
    description: "the sampler, what the model's folder names unless given; of a score SDE also pc, sde and ode",
  }),
  steps: z
    .int()
    .positive()
    .optional()
    .meta({ description: 'sampling steps; as many as in training with ddpm, 200 with pc and sde, else 50' }),
})

/** Unconditional pictures: denoising diffusion (Ho et al. 2020) and the same model as a score SDE (Song et al. 2021). */
export const ddpm: Page = page({
  classes: ddpmClasses,
  output: 'pictures',
  parts: ddpmParts,
  options,
  open: (parts, { source, compile }) => {
    const { className } = source
    return { className, ...pictureModels(ddpmPartsOf(parts, className), compile) }
  },
  plan: (model, { steps, scheduler }) => ({
    className: model.className,
    settings: { Steps: steps, Sampler: model.with(scheduler).sampler },
  }),
  async *generate(model, { scheduler, steps, signal, ...settings }) {
    const given = { ...settings, ...(steps !== undefined && { steps }), ...(signal && { signal }) }
    const sampling = model.with(scheduler).sample(given)
    for (let next = await sampling.next(); ; next = await sampling.next()) {
      if (next.done) return { type: 'pictures', pictures: next.value }
      const { i, done, total, denoised } = next.value
      const preview = async () => ({ type: 'pictures', pictures: denoised.cast('f32') }) as const
      yield { picture: 0, i, done, total, latents: denoised, preview }
    }
  },
})
