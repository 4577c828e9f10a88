import { attention, avgPool, concat, linear as product } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, groupNorm, linear } from '../../nn/layers.ts'
import { fanIn, type Params, zerosInit } from '../../nn/params.ts'
import { sinusoidal } from '../../nn/time.ts'
import { toPixels, toTokens } from '../../nn/transformer.ts'
import { channelMultiples, type GlideConfig, glideChannels } from './config.ts'
import { type GlideText, glideText, partsOfHeads } from './text.ts'

const GROUPS = 32

/** What every layer is given beside its features: the time [B, 4·C] and the text's states [B, N, W]. */
interface Given {
  readonly time: Tensor
  readonly states: Tensor
}
type Layer = (x: Tensor, given: Given) => Tensor

export interface Glide {
  /** A text for all steps of a run. */
  readonly text: (tokens: Tensor, mask: Tensor) => GlideText
  /**
   * sample [B, 3, 6, 7 or 10 channels, H, W] (the state; behind it the known picture where it is known, and where; behind it the small
   * picture at this size), timestep f32 [B] of 0 … 999 → noise and variance [B, 6, H, W].
   */
  readonly predict: (sample: Tensor, timestep: Tensor, text: GlideText) => Tensor
}

/** GLIDE's U-Net (Nichol et al. 2021, section 3; ADM of Dhariwal and Nichol 2021), with the keys of the released state dicts. */
export function glide(p: Params, config: GlideConfig): Glide {
  const { num_channels: base, num_res_blocks: count, image_size: side } = config
  const widths = channelMultiples(config).map((m) => m * base)
  const time = 4 * base
  const attends = config.attention_resolutions.map((one) => Math.floor(side / one))
  const text = glideText(p, config)
  const embed = [linear(p.at('time_embed', 0), base, time), linear(p.at('time_embed', 2), time, time)] as const
  const first = widths[0] as number
  const convIn = conv(p.at('input_blocks', 0, 0), glideChannels(config), first, 3, { padding: 1 })
  const down: Layer[][] = []
  const skips = [first]
  let [channels, shrunk] = [first, 1]
  for (const [level, width] of widths.entries()) {
    for (let i = 0; i < count; i++) {
      const at = p.at('input_blocks', down.length + 1)
      down.push([residual(at.at(0), channels, width, time), ...mixers(at.at(1), width, config, attends.includes(shrunk))])
      channels = width
      skips.push(channels)
    }
    if (level === widths.length - 1) continue
    down.push([residual(p.at('input_blocks', down.length + 1, 0), channels, channels, time, (x) => avgPool(x, 2))])
    skips.push(channels)
    shrunk *= 2
  }
  const middle = p.at('middle_block')
  const mid: Layer[] = [
    residual(middle.at(0), channels, channels, time),
    ...mixers(middle.at(1), channels, config, true),
    residual(middle.at(2), channels, channels, time),
  ]
  const up: Layer[][] = []
  for (const [level, width] of [...widths.entries()].reverse())
    for (let i = 0; i <= count; i++) {
      const at = p.at('output_blocks', up.length)
      const layers = [residual(at.at(0), channels + (skips.pop() as number), width, time)]
      layers.push(...mixers(at.at(1), width, config, attends.includes(shrunk)))
      if (level > 0 && i === count) {
        layers.push(residual(at.at(layers.length), width, width, time, (x) => x.upsample([2, 2])))
        shrunk /= 2
      }
      up.push(layers)
      channels = width
    }
  const normOut = groupNorm(p.at('out', 0), GROUPS, first)
  const convOut = conv(p.at('out', 2), first, 6, 3, { padding: 1, init: zerosInit })

  return {
    text,
    predict: (sample, timestep, { time: said, states }) => {
      dims(sample, 'B C H W', { C: glideChannels(config) })
      const encoded = sinusoidal(timestep, base, { cosineFirst: true, frequencyShift: 0 })
      const given = { time: embed[1](embed[0](encoded).silu()).add(said).silu(), states }
      const all = (layers: readonly Layer[], x: Tensor) => layers.reduce((y, layer) => layer(y, given), x)
      const left = [convIn(sample)]
      for (const layers of down) left.push(all(layers, left.at(-1) as Tensor))
      let x = all(mid, left.at(-1) as Tensor)
      for (const layers of up) x = all(layers, concat([x, left.pop() as Tensor], 1))
      return convOut(normOut(x).silu())
    },
  }
}

/** Norm, SiLU, convolution, twice; the time scales and shifts after the second norm. `resample` changes the size of both paths. */
function residual(p: Params, inputs: number, outputs: number, time: number, resample: (x: Tensor) => Tensor = (x) => x): Layer {
  const norm1 = groupNorm(p.at('in_layers', 0), GROUPS, inputs)
  const conv1 = conv(p.at('in_layers', 2), inputs, outputs, 3, { padding: 1 })
  const toTime = linear(p.at('emb_layers', 1), time, 2 * outputs)
  const norm2 = groupNorm(p.at('out_layers', 0), GROUPS, outputs)
  const conv2 = conv(p.at('out_layers', 3), outputs, outputs, 3, { padding: 1, init: zerosInit })
  const shortcut = inputs === outputs ? (x: Tensor) => x : conv(p.at('skip_connection'), inputs, outputs, 1)
  return (x, given) => {
    const h = conv1(resample(norm1(x).silu()))
    const [scale, shift] = toTime(given.time).unsqueeze(2).unsqueeze(3).split(2, 1) as [Tensor, Tensor]
    return shortcut(resample(x)).add(conv2(norm2(h).mul(scale.add(1)).add(shift).silu()))
  }
}

/** Pixels attend to the text's states and to each other in one softmax, where a level attends. */
function mixers(
  p: Params,
  channels: number,
  { num_head_channels: head, xf_width: width }: GlideConfig,
  attends: boolean,
): Layer[] {
  if (!attends) return []
  const heads = Math.max(1, Math.floor(channels / head))
  const norm = groupNorm(p.at('norm'), GROUPS, channels)
  const qkv = pointwise(p.at('qkv'), channels, 3 * channels)
  const encoderKv = pointwise(p.at('encoder_kv'), width, 2 * channels)
  const projectOut = pointwise(p.at('proj_out'), channels, channels, true)
  return [
    (x, { states }) => {
      const { H, W } = dims(x, 'B C H W')
      const [q, k, v] = partsOfHeads(qkv(toTokens(norm(x))), heads, 3) as [Tensor, Tensor, Tensor]
      const [ek, ev] = partsOfHeads(encoderKv(states), heads, 2) as [Tensor, Tensor]
      const mixed = attention(q, concat([ek, k], 1), concat([ev, v], 1), { heads })
      return x.add(toPixels(projectOut(mixed), H, W))
    },
  ]
}

/** A convolution over one place of a sequence, whose weight is [outputs, inputs, 1]: x [B, N, inputs] → [B, N, outputs]. */
function pointwise(p: Params, inputs: number, outputs: number, zero = false) {
  const init = zero ? zerosInit : fanIn(inputs)
  const weight = p.get('weight', [outputs, inputs, 1], init)
  const bias = p.get('bias', [outputs], init)
  return (x: Tensor): Tensor => product(x, weight.reshape([outputs, inputs]), bias)
}
