import { ArgumentError } from '../../core/errors.ts'
import { dims, showShape } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { activations } from '../../nn/activation.ts'
import type { Dropout } from '../../nn/dropout.ts'
import { conv, embedding, groupNorm, type Layer } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { gaussianFourier, sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { type Common, downBlocks, type Flow, midBlock, upBlocks } from './blocks.ts'
import { classEmbedding } from './class-embedding.ts'
import type { UNet2DConfig } from './config.ts'

/**
 * sample [B, in_channels, H, W], timestep [B] → [B, out_channels, H, W]. H and W are multiples of 2^(levels − 1).
 *
 * The timestep is f32: a number of steps, or a noise level σ > 0 with the Fourier embedding. Class labels are i64 [B] for a
 * table of classes, f32 [B] to be embedded as a time is, or f32 [B, time width] as they are.
 */
export type UNet2D = (sample: Tensor, timestep: Tensor, classLabels?: Tensor) => Tensor

export interface UNet2DOptions {
  /** For training where the config has dropout; without it nothing is dropped. */
  readonly dropout?: Dropout
}

/** The U-Net of DDPM (Ho et al. 2020), DDIM and NCSN++ (Song et al. 2021), with the keys of diffusers' `UNet2DModel`. */
export function unet2d(p: Params, config: UNet2DConfig, { dropout }: UNet2DOptions = {}): UNet2D {
  const deepest = config.block_out_channels.length - 1
  /** Channels of a level, 0 the finest; levels beyond an end have those of the end. */
  const width = (level: number) => config.block_out_channels[Math.min(Math.max(level, 0), deepest)] as number
  const first = width(0)
  const timeWidth = config.time_embedding_dim ?? first * 4
  const common: Common = { config, timeWidth, dropout }

  const convIn = conv(p.at('conv_in'), config.in_channels, first, 3, { padding: 1 })
  const encode = timeEncoding(p.at('time_proj'), config, first)
  const encodedWidth = config.time_embedding_type === 'fourier' ? 2 * first : first
  const embedTime = timeEmbedding(p.at('time_embedding'), encodedWidth, timeWidth)
  const classTime = { encode, encoded: encodedWidth, width: timeWidth }
  const embedClass = classEmbedding(p.at('class_embedding'), config, classTime)

  const down = config.down_block_types.map((name, i) => {
    const place = { inputs: width(i - 1), outputs: width(i), last: i === deepest }
    return downBlocks[name](p.at('down_blocks', i), place, common)
  })
  const mid = config.mid_block_type ? midBlock(p.at('mid_block'), width(deepest), common) : undefined
  const up = config.up_block_types.map((name, i) => {
    const level = deepest - i
    const place = { inputs: width(level + 1), outputs: width(level), above: width(level - 1), last: level === 0 }
    return upBlocks[name](p.at('up_blocks', i), place, common)
  })
  const outGroups = config.norm_num_groups ?? Math.min(Math.floor(first / 4), 32)
  const normOut = groupNorm(p.at('conv_norm_out'), outGroups, first, config.norm_eps)
  const convOut = conv(p.at('conv_out'), first, config.out_channels, 3, { padding: 1 })

  return (sample, timestep, classLabels) => {
    const { B, H, W } = dims(sample, 'B C H W', { C: config.in_channels })
    dims(timestep, 'B', { B })
    checkSize(H, W, 2 ** deepest)
    const embedded = embedTime(encode(timestep))
    const classes = embedClass(classLabels)
    const time = activations[config.act_fn](classes ? embedded.add(classes) : embedded)

    const input = config.center_input_sample ? sample.mul(2).sub(1) : sample
    const x = convIn(input)
    let flow: Flow = { x, skips: [x], picture: input }
    for (const block of down) flow = block(flow, time)
    flow = { x: mid ? mid(flow.x, time) : flow.x, skips: flow.skips, picture: undefined }
    for (const block of up) flow = block(flow, time)

    const y = convOut(normOut(flow.x).silu())
    const output = flow.picture ? y.add(flow.picture) : y
    return config.time_embedding_type === 'fourier' ? output.div(timestep.reshape([B, 1, 1, 1])) : output
  }
}

function timeEncoding(p: Params, config: UNet2DConfig, width: number): Layer {
  switch (config.time_embedding_type) {
    case 'positional':
      return (t) => sinusoidal(t, width, { cosineFirst: config.flip_sin_to_cos, frequencyShift: config.freq_shift })
    case 'fourier':
      return gaussianFourier(p, width, { scale: 16 })
    case 'learned': {
      const table = embedding(p, config.num_train_timesteps as number, width)
      return (t) => table(t.cast('i64'))
    }
  }
}

function checkSize(height: number, width: number, step: number): void {
  if (height % step === 0 && width % step === 0) return
  throw new ArgumentError(
    `unet2d: ${showShape([height, width])} pixels; with its levels, both sides must be multiples of ${step}`,
  )
}
