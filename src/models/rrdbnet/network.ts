import { concat } from '../../core/functions.ts'
import { dims, sizeOf } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, type Layer, sequence } from '../../nn/layers.ts'
import { type Init, normal, type Params, zerosInit } from '../../nn/params.ts'
import { pixelUnshuffle } from '../../nn/pixel-shuffle.ts'
import type { RrdbNetConfig } from './config.ts'

const leaky: Layer = (x) => x.leakyRelu(0.2)
const conv3 = (p: Params, inputs: number, outputs: number, init?: Init) =>
  conv(p, inputs, outputs, 3, { padding: 1, ...(init && { init }) })

/** Kaiming's normal for rectified layers (He et al. 2015, eq. 10), a tenth of it, and biases of 0 (Wang et al. 2018, section 3.1). */
const small: Init = (shape, generator) => {
  if (shape.length === 1) return zerosInit(shape, generator)
  const inputs = sizeOf(shape.slice(1))
  return normal(0.1 * Math.sqrt(2 / inputs))(shape, generator)
}

/**
 * ESRGAN's generator as Real-ESRGAN has it (Wang et al. 2018, fig. 4; Wang et al. 2021, section 3.2): pictures [B, C, H, W] in
 * [0, 1] → [B, C, scale·H, scale·W]. Keys are the published files'.
 *
 * @throws ArgumentError where scale 2 or 1 gets a picture that does not split into its blocks
 */
export function rrdbNet(p: Params, config: RrdbNetConfig): Layer {
  const { num_in_ch, num_out_ch, scale, num_feat: width, num_block, num_grow_ch } = config
  const block = 4 / scale
  const first = conv3(p.at('conv_first'), num_in_ch * block ** 2, width)
  const body = Array.from({ length: num_block }, (_, i) => residualInResidual(p.at('body', i), width, num_grow_ch))
  const convBody = conv3(p.at('conv_body'), width, width)
  const larger = ['conv_up1', 'conv_up2'].map((name) =>
    sequence((x: Tensor) => x.upsample([2, 2]), conv3(p.at(name), width, width), leaky),
  )
  const last = sequence(conv3(p.at('conv_hr'), width, width), leaky, conv3(p.at('conv_last'), width, num_out_ch))
  return (x) => {
    dims(x, 'B C H W', { C: num_in_ch })
    const shallow = first(block === 1 ? x : pixelUnshuffle(x, block))
    const deep = convBody(sequence(...body)(shallow)).add(shallow)
    return last(sequence(...larger)(deep))
  }
}

/** Three dense blocks, their sum scaled and added to what came in. */
function residualInResidual(p: Params, width: number, growth: number): Layer {
  const dense = ['rdb1', 'rdb2', 'rdb3'].map((name) => denseBlock(p.at(name), width, growth))
  return (x) =>
    sequence(...dense)(x)
      .mul(0.2)
      .add(x)
}

/** Five convolutions, each of which sees all that came before it. */
function denseBlock(p: Params, width: number, growth: number): Layer {
  const convs = [1, 2, 3, 4, 5].map((i) => conv3(p.at(`conv${i}`), width + (i - 1) * growth, i === 5 ? width : growth, small))
  return (x) => {
    const seen = [x]
    for (const layer of convs.slice(0, 4)) seen.push(leaky(layer(seen.length === 1 ? x : concat(seen, 1))))
    return (convs[4] as Layer)(concat(seen, 1)).mul(0.2).add(x)
  }
}
