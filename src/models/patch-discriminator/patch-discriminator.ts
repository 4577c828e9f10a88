import { z } from 'zod'
import type { Tensor } from '../../core/tensor.ts'
import { conv, groupNorm, type Layer, sequence } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'

export const patchDiscriminatorSchema = z.strictObject({
  in_channels: z.int().positive().default(3),
  /** Of the first layer; each further one has twice as many, eight times as many at most. */
  channels: z.int().positive().default(64),
  /** Layers that halve the resolution. */
  num_layers: z.int().positive().default(3),
})
export type PatchDiscriminatorConfig = Readonly<z.infer<typeof patchDiscriminatorSchema>>

const leaky = (x: Tensor): Tensor => x.maximum(x.mul(0.2))

/**
 * Tells real pictures from made ones, patch by patch: images [B, C, H, W] → logits [B, 1, h, w] (Isola et al. 2017, section 3.2.2).
 * Norms are over one group of channels, so that a picture's logits do not depend on the others of its batch.
 */
export function patchDiscriminator(p: Params, { in_channels, channels, num_layers }: PatchDiscriminatorConfig): Layer {
  const width = (i: number) => channels * Math.min(2 ** i, 8)
  const first = conv(p.at('layers', 0, 'conv'), in_channels, channels, 4, { stride: 2, padding: 1 })
  const further = Array.from({ length: num_layers }, (_, i) => {
    const at = p.at('layers', i + 1)
    const stride = i + 1 < num_layers ? 2 : 1
    return sequence(
      leaky,
      conv(at.at('conv'), width(i), width(i + 1), 4, { stride, padding: 1, bias: false }),
      groupNorm(at.at('norm'), 1, width(i + 1)),
    )
  })
  return sequence(first, ...further, leaky, conv(p.at('conv_out'), width(num_layers), 1, 4, { padding: 1 }))
}

/** What a discriminator minimises: logits of real and of made pictures → [] (Lim and Ye 2017). */
export const hingeLoss = (real: Tensor, made: Tensor): Tensor =>
  real.neg().add(1).relu().mean().add(made.add(1).relu().mean()).div(2)
