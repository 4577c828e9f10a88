import { join } from 'node:path'
import { FolderError, loadConfig, matchWeights, openWeights, resolveModel } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { concat } from '../../core/functions.ts'
import { constant, input, type Tensor } from '../../core/tensor.ts'
import {
  type Control,
  type ControlNetConfig,
  controlNet,
  controlNetConfig,
  controlScales,
  scaleControl,
  sumControl,
} from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Choices } from './choices.ts'
import { hubOptions, type OpenOptions } from './components.ts'
import type { Companion, Seen } from './denoiser.ts'
import type { Settings } from './options.ts'
import type { Network } from './parts.ts'
import { asHint, type Fitting, fitted, levelsOf } from './pictures.ts'

/** Opens a ControlNet: a folder in diffusers' layout, or a name on the hub. @throws as `openComponents` */
export async function openControlNet(model: string, options: OpenOptions): Promise<Network<ControlNetConfig>> {
  const { kind, path } = await resolveModel(model, hubOptions(options))
  const { variant } = options
  if (kind === 'file') throw new FolderError(path, "is a file; a ControlNet opens as a folder in diffusers' layout")
  const config = controlNetConfig(loadConfig(path), join(path, 'config.json'))
  const p = new Params()
  controlNet(p, config)
  return {
    config,
    weights: matchWeights(p.tensors, openWeights(path, variant === undefined ? {} : { variant }), { place: path }),
  }
}

/** A network with what it is given in a run. */
interface Part {
  readonly name: string
  readonly net: Network<ControlNetConfig>
  readonly hint: NdArray<'f32'>
  readonly scale: number
  readonly span: readonly [number, number]
}

/**
 * The ControlNets of a run, their residuals summed (Zhang et al. 2023). In guess mode they see the guided rows alone, and the
 * others go on without them.
 *
 * @param rows of the U-Net's batch
 * @throws ArgumentError where pictures and networks are not as many
 */
export function controls(
  nets: readonly Network<ControlNetConfig>[],
  settings: Settings,
  choices: Choices,
  fitting: Fitting = choices,
): Companion[] {
  const given = settings.controls ?? []
  if (given.length !== nets.length) {
    throw new ArgumentError(`controls: ${given.length} pictures for ${nets.length} ControlNets: give one each`)
  }
  if (nets.length === 0) return []
  const parts = nets.map((net, i): Part => {
    const { picture, scale = choices.controlScale, start = 0, end = 1 } = given[i] as (typeof given)[number]
    return { name: `control${i}`, net, hint: asHint(fitted(levelsOf(picture), fitting)), scale, span: [start, end] }
  })
  const xl = choices.className.includes('XL')
  const guess = settings.guess || (!xl && (nets[0] as Network<ControlNetConfig>).config.global_pool_conditions)
  return [
    {
      key: JSON.stringify(['controls', guess, parts.map(({ hint }) => hint.shape)]),
      weights: new Map(
        parts.flatMap(({ name, net }) => [...net.weights].map(([key, value]) => [`${name}.${key}`, value] as const)),
      ),
      draw: (seen) => {
        const all = seen.sample.shape[0] as number
        const from = guess ? Math.floor(all / 2) : 0
        const { down, mid } = sumControl(parts.map((part) => drawn(part, rowsFrom(seen, from))))
        const whole = (x: Tensor) =>
          from === 0
            ? x
            : concat(
                [
                  constant([0], [1])
                    .reshape(x.shape.map(() => 1))
                    .expand(x.shape),
                  x,
                ],
                0,
              )
        return { downResiduals: down.map(whole), midResidual: whole(mid) }
      },
      feeds: (call, calls) =>
        Object.fromEntries(
          parts.flatMap(({ name, net, hint, scale, span: [start, end] }) => {
            const on = !(call / calls < start || (call + 1) / calls > end)
            const scales = controlScales(net.config, on ? scale : 0, { guess })
            return [
              [`${name} hint`, hint],
              [`${name} scales`, NdArray.from(scales, [scales.length])],
            ]
          }),
        ),
    },
  ]
}

/** One network's residuals, with its hint and its factors as inputs. */
function drawn({ name, net, hint }: Part, { sample, timestep, context, extras }: Seen): Control {
  const rows = sample.shape[0] as number
  const latents = sample.slice(1, 0, net.config.in_channels)
  const picture = input(`${name} hint`, hint.shape).expand([rows, ...hint.shape.slice(1)])
  const added = net.config.addition_embed_type === 'text_time' ? { textEmbeds: extras.textEmbeds, timeIds: extras.timeIds } : {}
  const control = controlNet(new Params(name), net.config)(latents, timestep, context, picture, added)
  return scaleControl(control, input(`${name} scales`, [control.down.length + 1]))
}

const rowsFrom = ({ sample, timestep, context, extras }: Seen, from: number): Seen => {
  if (from === 0) return { sample, timestep, context, extras }
  const rest = (x: Tensor | undefined) => x?.slice(0, from, x.shape[0] as number)
  return {
    sample: rest(sample) as Tensor,
    timestep: rest(timestep) as Tensor,
    context: rest(context) as Tensor,
    extras: Object.fromEntries(Object.entries(extras).map(([key, value]) => [key, rest(value)])),
  }
}
