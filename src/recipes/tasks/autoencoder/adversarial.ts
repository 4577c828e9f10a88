import { z } from 'zod'
import { grad, vjp } from '../../../core/grad.ts'
import type { Tensor } from '../../../core/tensor.ts'
import { hingeLoss, patchDiscriminator, patchDiscriminatorSchema } from '../../../models/patch-discriminator/index.ts'
import type { Params } from '../../../nn/params.ts'
import type { LaterStage } from '../../../training/index.ts'

/** A stage of training against a discriminator, with the discriminator's fields. */
export const adversarialSchema = patchDiscriminatorSchema.extend({
  /** The step from which it holds. */
  start: z.int().positive(),
  /** How strongly it pulls, against the error's pull. */
  weight: z.number().positive().default(0.5),
})

export interface AdversarialParts {
  readonly params: Params
  readonly config: z.infer<typeof adversarialSchema>
  /** Pictures that the network made of `images`. */
  readonly made: Tensor
  readonly images: Tensor
  /** How far apart they are. */
  readonly error: Tensor
  /** What else is minimised. */
  readonly narrow: Tensor
  readonly metrics: Readonly<Record<string, Tensor>>
  /** The last layer's weight. */
  readonly last: Tensor
}

/**
 * Autoencoder and discriminator in one step, each updated by its own loss. The autoencoder's is written as the made
 * pictures times their gradient: that of the error, and that of the discriminator's logits scaled so that both reach the last
 * layer equally long, times the weight (Esser et al. 2021, eq. 7).
 */
export function adversarialStage({ params, config, made, images, error, narrow, metrics, last }: AdversarialParts): LaterStage {
  const { start, weight, ...network } = config
  const judge = patchDiscriminator(params.at('discriminator'), network)
  const fooled = judge(made).mean().neg()
  const [ofError, ofFooled] = [error, fooled].map((loss) => (grad(loss, [made])[0] as Tensor).stopGradient()) as [Tensor, Tensor]
  const lengthAt = (gradient: Tensor) => (vjp([made], [last], [gradient])[0] as Tensor).square().sum().sqrt()
  const scale = lengthAt(ofError).div(lengthAt(ofFooled).add(1e-8)).minimum(1e4).mul(weight).stopGradient()
  const moved = made.mul(ofError.add(ofFooled.mul(scale)).stopGradient()).sum()
  const discriminator = hingeLoss(judge(images), judge(made.stopGradient()))
  // The value is what it means: the error; the gradient is that of `moved`.
  const loss = moved.sub(moved.stopGradient()).add(error.stopGradient()).add(narrow).add(discriminator)
  return { from: start, loss, metrics: { ...metrics, discriminator, adversarial_scale: scale } }
}
