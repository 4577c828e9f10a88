import { dims } from '../../core/shape.ts'
import { conv, type Layer, sequence } from '../../nn/layers.ts'
import { fill, type Params } from '../../nn/params.ts'
import { pixelShuffle } from '../../nn/pixel-shuffle.ts'
import type { SrvggConfig } from './config.ts'

/**
 * Real-ESRGAN's compact network: convolutions at the small size, and pixels from channels at the end, added to the picture repeated.
 * Pictures [B, C, H, W] in [0, 1] → [B, C, upscale·H, upscale·W]. Keys are the published files'.
 */
export function srvggNet(p: Params, config: SrvggConfig): Layer {
  const { num_in_ch, num_out_ch, num_feat, num_conv, upscale, act_type } = config
  const convolution = (i: number, inputs: number, outputs: number) => conv(p.at('body', i), inputs, outputs, 3, { padding: 1 })
  const layers = Array.from({ length: num_conv + 1 }, (_, i) => [
    convolution(2 * i, i === 0 ? num_in_ch : num_feat, num_feat),
    activation(p.at('body', 2 * i + 1), act_type, num_feat),
  ])
  const last = convolution(2 * num_conv + 2, num_feat, num_out_ch * upscale ** 2)
  return (x) => {
    dims(x, 'B C H W', { C: num_in_ch })
    const detail = pixelShuffle(last(sequence(...layers.flat())(x)), upscale)
    return detail.add(x.upsample([upscale, upscale]))
  }
}

function activation(p: Params, type: SrvggConfig['act_type'], channels: number): Layer {
  switch (type) {
    case 'relu':
      return (x) => x.relu()
    case 'leakyrelu':
      return (x) => x.leakyRelu(0.1)
    case 'prelu': {
      // max(x, 0) + w · min(x, 0) (He et al. 2015, eq. 1).
      const slope = p.get('weight', [channels], fill(0.25)).reshape([channels, 1, 1])
      return (x) => {
        const positive = x.relu()
        return positive.add(x.sub(positive).mul(slope))
      }
    }
  }
}
