import { z } from 'zod'
import { grad } from '../../../core/grad.ts'
import type { Tensor } from '../../../core/tensor.ts'
import { unetDiscriminator, unetDiscriminatorSchema } from '../../../models/unet-discriminator/index.ts'
import type { Params } from '../../../nn/params.ts'
import type { LaterStage } from '../../../training/index.ts'

/** A stage of training against Real-ESRGAN's discriminator, with the discriminator's fields. */
export const adversarialSchema = unetDiscriminatorSchema.omit({ num_in_ch: true }).extend({
  /** The step from which it holds: all of them, unless later. */
  start: z.int().positive().default(1),
  /** Of the discriminator's loss, beside the error. */
  weight: z.number().positive().default(0.1),
  /** Power steps of the spectral norms, anew in every step. */
  power_steps: z.int().positive().default(4),
})

export interface AdversarialParts {
  readonly params: Params
  readonly config: z.infer<typeof adversarialSchema>
  /** Pictures that the network made, and real ones, in [0, 1]. */
  readonly made: Tensor
  readonly real: Tensor
  /** How far apart they are: what is minimised without the discriminator. */
  readonly error: Tensor
  readonly metrics: Readonly<Record<string, Tensor>>
}

/**
 * Upscaler and discriminator in one step, each updated by its own loss (Wang et al. 2021, section 3.4): the upscaler's is the error and −ln D(made), the
 * discriminator's −ln D(real) − ln(1 − D(made)), for every pixel.
 */
export function adversarialStage({ params, config, made, real, error, metrics }: AdversarialParts): LaterStage {
  const { start, weight, power_steps: powerSteps, ...fields } = config
  const logits = unetDiscriminator(params.at(DISCRIMINATOR), { num_in_ch: 3, ...fields }, { powerSteps })
  const unconvinced = logits(made).neg().softplus().mean()
  // Only the pictures take this gradient: the discriminator learns from its own loss alone.
  const pulled = made.mul((grad(unconvinced, [made])[0] as Tensor).stopGradient()).sum()
  const fooling = pulled.sub(pulled.stopGradient()).add(unconvinced.stopGradient())
  const discriminator = logits(real).neg().softplus().mean().add(logits(made.stopGradient()).softplus().mean())
  return {
    from: start,
    loss: error.add(fooling.mul(weight)).add(discriminator),
    metrics: { ...metrics, fooling: unconvinced, discriminator },
  }
}

/** The scope of the discriminator's parameters. */
export const DISCRIMINATOR = 'discriminator'
