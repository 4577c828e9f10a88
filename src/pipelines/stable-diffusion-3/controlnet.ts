import { ConfigError } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { croppedPatches, latentStatistics, sd3ControlNet } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { join } from '../../runtime/system.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { OpenedNetwork } from '../open/network.ts'
import type { Conditioner, Inputs } from '../parts/denoiser.ts'
import type { Components } from './components.ts'
import type { Settings } from './options.ts'

export type ControlNet = OpenedNetwork<'SD3ControlNetModel'>
type Control = NonNullable<Settings['controls']>[number]

/** Whether it repaints: it sees a mask beside the control image. */
export const repaints = ({ config }: ControlNet): boolean => config.extra_conditioning_channels === 1

/** @throws ConfigError where a ControlNet belongs to another transformer */
export function checkControlNet({ config, place }: ControlNet, { transformer, vae }: Components): void {
  const own = transformer.config
  const width = (of: { num_attention_heads: number; attention_head_dim: number }) =>
    of.num_attention_heads * of.attention_head_dim
  const fault = (field: string, is: unknown, expected: string) => {
    throw new ConfigError(join(place, 'config.json'), `is ${is}; ${expected}`, { field })
  }
  if (width(config) !== width(own))
    fault(
      'num_attention_heads',
      config.num_attention_heads,
      `its blocks are ${width(config)} wide and the transformer's ${width(own)}`,
    )
  for (const field of ['pooled_projection_dim', 'patch_size'] as const)
    if (config[field] !== own[field]) fault(field, config[field], `the transformer's is ${own[field]}`)
  if (config.joint_attention_dim !== null && config.joint_attention_dim !== own.joint_attention_dim)
    fault('joint_attention_dim', config.joint_attention_dim, `the transformer's is ${own.joint_attention_dim}`)
  if (config.in_channels !== vae.config.latent_channels)
    fault('in_channels', config.in_channels, `the autoencoder's latents have ${vae.config.latent_channels} channels`)
  if (config.num_layers > own.num_layers)
    fault('num_layers', config.num_layers, `the transformer has ${own.num_layers} blocks to add to`)
  if (config.extra_conditioning_channels > 1)
    fault('extra_conditioning_channels', config.extra_conditioning_channels, 'no pipeline gives more than one, a mask')
}

/** How many channels of control the network's input has behind the transformer's, and where each ControlNet's begin. */
export function controlChannels(nets: readonly ControlNet[], after: number): number[] {
  const starts = [after]
  for (const { config } of nets) starts.push((starts.at(-1) as number) + config.in_channels + config.extra_conditioning_channels)
  return starts
}

/**
 * The ControlNets of a run, their residuals summed. Their control images stand in channels behind the transformer's own.
 *
 * @throws ArgumentError where control images and networks are not as many
 */
export function controlConditioner(
  nets: readonly ControlNet[],
  given: readonly Pick<Control, 'scale' | 'start' | 'end'>[],
  { transformer }: Components,
): Conditioner[] {
  if (given.length !== nets.length)
    throw new ArgumentError(`controls: ${given.length} pictures for ${nets.length} ControlNets: give one each`)
  if (nets.length === 0) return []
  const members = nets.map((net, i) => ({ net, name: `control${i}` }))
  const starts = controlChannels(nets, transformer.config.in_channels)
  return [
    {
      key: JSON.stringify(['controls', nets.length]),
      weights: new Map(members.flatMap(({ net, name }) => [...weightsOf(net, name, transformer.weights)])),
      trace: (inputs) => {
        const each = members.map(({ net, name }, i) => {
          const control = (inputs.sample as Tensor).slice(1, starts[i] as number, starts[i + 1] as number)
          const scale = input(`${name} scale`, [1])
          return traced(net, name, inputs, control, transformer).map((residual) => residual.mul(scale))
        })
        const [first, ...others] = each as [Tensor[], ...Tensor[][]]
        const longest = Math.max(...each.map((one) => one.length))
        if (others.some((one) => one.length !== longest))
          throw new ArgumentError(`controls: ControlNets of ${each.map((one) => one.length).join(' and ')} blocks do not add up`)
        return { residuals: first.map((residual, k) => others.reduce((sum, one) => sum.add(one[k] as Tensor), residual)) }
      },
      feeds: (call, calls) =>
        Object.fromEntries(
          members.map(({ name }, i) => {
            const { scale, start, end } = given[i] as Control
            const on = !(call / calls < start || (call + 1) / calls > end)
            return [`${name} scale`, NdArray.full([1], on ? scale : 0)]
          }),
        ),
    },
  ]
}

/** A ControlNet's weights under its name; where it has no embedding of its own, with the transformer's. */
function weightsOf({ weights, config }: ControlNet, name: string, transformer: Weights): Weights {
  const borrowed = config.use_pos_embed ? [] : [...transformer].filter(([key]) => key.startsWith('pos_embed.'))
  return new Map([...weights, ...borrowed].map(([key, value]) => [`${name}.${key}`, value] as const))
}

function traced(
  { config }: ControlNet,
  name: string,
  { sample, timestep, context, pooled }: Inputs,
  control: Tensor,
  { config: own }: Components['transformer'],
): Tensor[] {
  const p = new Params(name)
  const latents = (sample as Tensor).slice(1, 0, config.in_channels)
  const width = own.num_attention_heads * own.attention_head_dim
  const x = config.use_pos_embed ? latents : croppedPatches(p.at('pos_embed'), own, width, own.pos_embed_max_size)(latents)
  const text = pooled as Tensor
  return sd3ControlNet(p, config)(x, timestep as Tensor, {
    control,
    pooled: zeroPooled(config) ? text.mul(0) : text,
    context: config.joint_attention_dim === null ? undefined : context,
  })
}

/** diffusers gives InstantX's and all that repaint zeros for the pooled text. */
const zeroPooled = (config: ControlNet['config']): boolean =>
  config.force_zeros_for_pooled_projection || config.extra_conditioning_channels === 1

/** A control image's latents as its ControlNet takes them: InstantX's are scaled and not shifted. */
export function forControlNet(net: ControlNet, latents: NdArray<'f32'>, { vae }: Components): NdArray<'f32'> {
  if (repaints(net) || !net.config.force_zeros_for_pooled_projection) return latents
  const { mean, std } = latentStatistics(vae.config)
  const shift = mean.map((value, i) => value / (std[i] as number))
  return latents.add(NdArray.from(shift, [1, shift.length, 1, 1]))
}
