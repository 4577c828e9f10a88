import { join } from 'node:path'
import { FolderError, loadConfig, matchWeights, openWeights, resolveModel } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import { toGrey } from '../../images/pillow.ts'
import { type T2IAdapterConfig, t2iAdapter, t2iAdapterConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, evaluate } from '../../runtime/program.ts'
import { hubOptions, type OpenOptions } from './components.ts'
import type { Size } from './conditions.ts'
import type { Companion } from './denoiser.ts'
import type { Settings } from './options.ts'
import type { Network } from './parts.ts'
import { asHint, fitted, levelsOf } from './pictures.ts'

/** Opens a T2I-Adapter: a folder in diffusers' layout, or a name on the hub. @throws as `openComponents` */
export async function openAdapter(model: string, options: OpenOptions): Promise<Network<T2IAdapterConfig>> {
  const { kind, path } = await resolveModel(model, hubOptions(options))
  if (kind === 'file') throw new FolderError(path, "is a file; a T2I-Adapter opens as a folder in diffusers' layout")
  const config = t2iAdapterConfig(loadConfig(path), join(path, 'config.json'))
  const p = new Params()
  t2iAdapter(p, config)
  const weights = openWeights(path, options.variant === undefined ? {} : { variant: options.variant })
  return { config, weights: matchWeights(p.tensors, weights, { place: path }) }
}

/**
 * The features of a run's T2I-Adapters, summed (Mou et al. 2023, section 3.4); they see neither noise nor time and run once.
 *
 * @throws ArgumentError where pictures and adapters are not as many
 */
export async function adapterFeatures(
  nets: readonly Network<T2IAdapterConfig>[],
  settings: Settings,
  size: Size,
  options: CompileOptions,
): Promise<Companion[]> {
  const given = settings.adapters ?? []
  if (given.length !== nets.length) {
    throw new ArgumentError(`adapters: ${given.length} pictures for ${nets.length} T2I-Adapters: give one each`)
  }
  if (nets.length === 0) return []
  const sums: NdArray<'f32'>[] = []
  for (const [i, net] of nets.entries()) {
    const { picture, scale } = given[i] as (typeof given)[number]
    for (const [k, feature] of (await featuresOf(net, picture, size, options)).entries()) {
      const scaled = feature.mul(scale)
      sums[k] = sums[k]?.add(scaled) ?? scaled
    }
  }
  const feeds = Object.fromEntries(sums.map((sum, k) => [`adapter feature ${k}`, sum]))
  return [
    {
      key: JSON.stringify(['adapters', sums.map(({ shape }) => shape)]),
      weights: new Map(),
      draw: ({ sample }) => ({
        adapterFeatures: Object.entries(feeds).map(([name, { shape }]) =>
          input(name, shape).expand([sample.shape[0] as number, ...shape.slice(1)]),
        ),
      }),
      feeds: () => feeds,
    },
  ]
}

async function featuresOf(
  { config, weights }: Network<T2IAdapterConfig>,
  picture: NdArray,
  size: Size,
  options: CompileOptions,
): Promise<NdArray<'f32'>[]> {
  const levels = fitted(levelsOf(picture), size)
  const image = asHint(config.in_channels === 1 ? toGrey(levels) : levels)
  const features = t2iAdapter(new Params(), config)(input('image', image.shape))
  const outputs = Object.fromEntries(features.map((feature, k) => [String(k), feature]))
  const found = await evaluate({ outputs, weights }, { image }, options)
  return features.map((_, k) => found[String(k)] as NdArray<'f32'>)
}
