import { ArgumentError } from '../../core/errors.ts'
import { concat } from '../../core/functions.ts'
import { constant, input, type Tensor } from '../../core/tensor.ts'
import { type Control, controlNet, controlScales, scaleControl, sumControl } from '../../models/index.ts'
import type { Extras } from '../../models/unet-condition/embeddings.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asHint, type Fitting, fitted, levelsOf } from '../images/fit.ts'
import { type OpenedNetwork, openNetworkAt } from '../open/network.ts'
import type { OpenOptions } from '../open/source.ts'
import type { Conditioner, Inputs } from '../parts/denoiser.ts'

export type OpenControlNet = OpenedNetwork<'ControlNetModel'>

/** Opens a ControlNet: a folder in diffusers' layout, or a name on the hub. @throws as `openNetworkAt` */
export const openControlNet = (model: string, options: OpenOptions): Promise<OpenControlNet> =>
  openNetworkAt(model, 'a ControlNet', ['ControlNetModel'], options)

/** A control image, how strongly it acts, and from which share of the way to which. */
export interface ControlImage {
  readonly picture: NdArray
  readonly scale?: number | undefined
  readonly start?: number
  readonly end?: number
}

export interface ControlOptions {
  /** How control images come to the size of the run. */
  readonly fitting: Fitting
  /** Where an image has none of its own. */
  readonly scale: number
  /** The networks see the guided entries alone, and the others go on without them. */
  readonly guess: boolean
  /** diffusers' pipeline: some turn guess mode on by themselves. */
  readonly className: string
}

/** A network with its name in the graph and its values in a run. */
interface Member {
  readonly name: string
  readonly net: OpenControlNet
  readonly hint: NdArray<'f32'>
  readonly scale: number
  readonly span: readonly [number, number]
}

/** In diffusers a network that pools its conditions works in guess mode, but in XL's in-painting. */
const guesses = (net: OpenControlNet, className: string): boolean =>
  net.config.global_pool_conditions && className !== 'StableDiffusionXLControlNetInpaintPipeline'

/**
 * The ControlNets of a run, their residuals summed (Zhang et al. 2023).
 *
 * @throws ArgumentError where pictures and networks are not as many
 */
export function controls(
  nets: readonly OpenControlNet[],
  given: readonly ControlImage[] = [],
  options: ControlOptions,
): Conditioner[] {
  if (given.length !== nets.length) {
    throw new ArgumentError(`controls: ${given.length} pictures for ${nets.length} ControlNets: give one each`)
  }
  const [first] = nets
  if (!first) return []
  const members = nets.map((net, i): Member => {
    const { picture, scale = options.scale, start = 0, end = 1 } = given[i] as ControlImage
    return { name: `control${i}`, net, hint: asHint(fitted(levelsOf(picture), options.fitting)), scale, span: [start, end] }
  })
  const guess = options.guess || guesses(first, options.className)
  return [
    {
      key: JSON.stringify(['controls', guess, members.map(({ hint }) => hint.shape)]),
      weights: new Map(
        members.flatMap(({ name, net }) => [...net.weights].map(([key, value]) => [`${name}.${key}`, value] as const)),
      ),
      trace: (inputs) => {
        const all = inputs.sample?.shape[0] as number
        const from = guess ? Math.floor(all / 2) : 0
        const { down, mid } = sumControl(members.map((member) => traced(member, entriesFrom(inputs, from))))
        return { downResiduals: down.map((x) => withZeros(x, from)), midResidual: withZeros(mid, from) }
      },
      feeds: (call, calls) =>
        Object.fromEntries(
          members.flatMap(({ name, net, hint, scale, span: [start, end] }) => {
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
function traced({ name, net, hint }: Member, { sample, timestep, context: all, regions, textEmbeds, timeIds }: Inputs): Control {
  // Of the prompts of a picture's parts it sees the whole picture's, which stands first.
  const context = regions && all ? all.slice(1, 0, (all.shape[1] as number) / (regions.shape[1] as number)) : all
  const latents = (sample as Tensor).slice(1, 0, net.config.in_channels)
  const picture = input(`${name} hint`, hint.shape).expand([latents.shape[0] as number, ...hint.shape.slice(1)])
  const added: Extras = net.config.addition_embed_type === 'text_time' ? { textEmbeds, timeIds } : {}
  const control = controlNet(new Params(name), net.config)(latents, timestep as Tensor, context as Tensor, picture, added)
  return scaleControl(control, input(`${name} scales`, [control.down.length + 1]))
}

/** The inputs of the batch's entries from one on. */
const entriesFrom = (inputs: Inputs, from: number): Inputs =>
  from === 0
    ? inputs
    : Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, x.slice(0, from, x.shape[0] as number)]))

/** As many entries of zeros before. */
function withZeros(x: Tensor, entries: number): Tensor {
  if (entries === 0) return x
  const zeros = constant([0], [1]).reshape(x.shape.map(() => 1))
  return concat([zeros.expand(x.shape.with(0, entries)), x], 0)
}
