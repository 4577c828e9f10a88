import { arange, input } from '../../core/tensor.ts'
import {
  divergenceFromUniform,
  logitLaplace,
  mapPixels,
  type OpenAIDiscreteVAEConfig,
  oneHot,
  openAIDiscreteVAE,
  relaxedCodes,
  sampledCodes,
} from '../../models/dvae/index.ts'
import { Params } from '../../nn/params.ts'
import { parts } from '../../pipelines/options.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import type { Weights } from '../../runtime/weights.ts'

/** Temperatures at which relaxed samples are compared with codes: down to the paper's last. */
export const temperatures = [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16] as const

const BATCH = 16

export interface BoundOptions {
  readonly seed: number
  /** The least logarithm of a pixel's width, as in training. */
  readonly least?: number
  readonly engine?: CompileOptions
}

/** As a fraction: `1/16`. */
const fraction = (value: number) => (value === 1 ? '1' : `1/${Math.round(1 / value)}`)

/**
 * The evidence lower bound of pictures in nats a value: by codes sampled from the encoder's distribution, as the bound is defined, and by
 * relaxed samples of the same noise, which training takes in their place, at falling temperatures. The two meet as the temperature falls.
 *
 * @param images [N, 3, H, W] in [−1, 1]
 * @returns by the names of a table's rows
 */
export async function measureBounds(
  { config, weights }: { readonly config: OpenAIDiscreteVAEConfig; readonly weights: Weights },
  images: NdArray<'f32'>,
  { seed, least = -Infinity, engine = {} }: BoundOptions,
): Promise<Record<string, number>> {
  const [count, channels, H, W] = images.shape as [number, number, number, number]
  const generator = new Generator(seed)
  const sums = new Map<string, number>()
  for (const [from, to] of parts(count, BATCH)) {
    const B = to - from
    const network = openAIDiscreteVAE(new Params(), config)
    const pixels = input('images', [B, channels, H, W]).add(1).div(2)
    const logits = network.encode(pixels)
    const uniform = input('uniform', logits.shape)
    const perValue = divergenceFromUniform(logits)
      .sum()
      .div(B * channels * H * W)
    const bound = (codes: typeof logits) => {
      const { mean, logScale } = network.decode(codes)
      const width = least === -Infinity ? logScale : logScale.maximum(least)
      return logitLaplace(mapPixels(pixels), { mean, logScale: width }).mean().sub(perValue)
    }
    const outputs = {
      'bound by codes': bound(oneHot(sampledCodes(logits, uniform), arange(config.vocab_size, 'i64'))),
      ...Object.fromEntries(
        temperatures.map((tau) => [`bound by relaxed samples, τ = ${fraction(tau)}`, bound(relaxedCodes(logits, uniform, tau))]),
      ),
    }
    const program = await compile({ outputs, weights }, engine)
    const found = await program.run({ images: images.slice(0, from, to), uniform: generator.rand(logits.shape) })
    await program.release()
    for (const [name, value] of Object.entries(found)) sums.set(name, (sums.get(name) ?? 0) + (value as NdArray).item() * B)
  }
  return Object.fromEntries([...sums].map(([name, sum]) => [name, sum / count]))
}
