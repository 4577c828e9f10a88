import { ArgumentError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import { toGrey } from '../../images/pillow.ts'
import { t2iAdapter } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { asHint, fitted, levelsOf, type Size } from '../images/fit.ts'
import { openNetworkAt } from '../open/network.ts'
import type { OpenOptions } from '../open/source.ts'
import type { Conditioner } from '../parts/denoiser.ts'
import { turns } from '../parts/turns.ts'

/** A T2I-Adapter at work: it sees neither noise nor time, and runs once for a picture. */
export interface AdapterFeatures {
  features(picture: NdArray, size: Size): Promise<NdArray<'f32'>[]>
  release(): Promise<void>
}

/** Opens a T2I-Adapter: a folder in diffusers' layout, or a name on the hub. @throws as `openNetworkAt` */
export async function openAdapter(model: string, options: OpenOptions, compileOptions: CompileOptions): Promise<AdapterFeatures> {
  const { config, weights } = await openNetworkAt(model, 'a T2I-Adapter', ['T2IAdapter'], options)
  const turn = turns()
  const programs = new Programs((shape: string) => {
    const features = t2iAdapter(new Params(), config)(input('image', JSON.parse(shape)))
    const outputs = Object.fromEntries(features.map((feature, k) => [String(k), feature]))
    return compile({ outputs, weights }, compileOptions)
  }, 1)
  return {
    features: (picture, size) =>
      turn(async () => {
        const levels = fitted(levelsOf(picture), size)
        const image = asHint(config.in_channels === 1 ? toGrey(levels) : levels)
        const found = await (await programs.get(JSON.stringify(image.shape))).run({ image })
        return Object.keys(found).map((_, k) => found[String(k)] as NdArray<'f32'>)
      }),
    release: () => turn(() => programs.release()),
  }
}

/**
 * The features of a run's T2I-Adapters, summed (Mou et al. 2023, section 3.4).
 *
 * @throws ArgumentError where pictures and adapters are not as many
 */
export async function adapterFeatures(
  nets: readonly AdapterFeatures[],
  given: readonly { readonly picture: NdArray; readonly scale: number }[] = [],
  size: Size,
): Promise<Conditioner[]> {
  if (given.length !== nets.length) {
    throw new ArgumentError(`adapters: ${given.length} pictures for ${nets.length} T2I-Adapters: give one each`)
  }
  if (nets.length === 0) return []
  const sums: NdArray<'f32'>[] = []
  for (const [i, net] of nets.entries()) {
    const { picture, scale } = given[i] as (typeof given)[number]
    for (const [k, feature] of (await net.features(picture, size)).entries()) {
      const scaled = feature.mul(scale)
      sums[k] = sums[k]?.add(scaled) ?? scaled
    }
  }
  const feeds = Object.fromEntries(sums.map((sum, k) => [`adapter feature ${k}`, sum]))
  return [
    {
      key: JSON.stringify(['adapters', sums.map(({ shape }) => shape)]),
      weights: new Map(),
      trace: ({ sample }) => ({
        adapterFeatures: Object.entries(feeds).map(([name, { shape }]) =>
          input(name, shape).expand([sample?.shape[0] as number, ...shape.slice(1)]),
        ),
      }),
      feeds: () => feeds,
    },
  ]
}
