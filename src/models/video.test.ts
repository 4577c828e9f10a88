import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../tests/fixture.ts'
import { type Described, disagreements, keysOf } from '../../tests/networks.ts'
import { constant, input, type Tensor } from '../core/tensor.ts'
import { inFilmParts } from '../nn/causal.ts'
import { Params } from '../nn/params.ts'
import {
  cogVideoXConfig,
  cogVideoXTransformer,
  cogVideoXVae,
  cogVideoXVaeConfig,
  type FilmAutoencoder,
} from './cogvideox/index.ts'
import { latteConfig, latteTransformer } from './latte/index.ts'
import { wanConfig, wanTransformer, wanVae, wanVaeConfig } from './wan/index.ts'

const diffusers = fixture('video')
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)

type Build = (p: Params, config: unknown) => (given: (key: string) => Tensor, name: string) => Record<string, Tensor>
/** Films as wholes, in the parts that diffusers cuts. */
const coded = ({ encode, decode, parts }: FilmAutoencoder) => {
  const whole = (x: Tensor, way: 'encode' | 'decode') =>
    inFilmParts(way === 'encode' ? encode : decode, x, parts[way](x.shape[2] as number))
  return (given: (key: string) => Tensor) => ({ decoded: whole(given('z'), 'decode'), moments: whole(given('x'), 'encode') })
}
const networks: Readonly<Record<string, Build>> = {
  LatteTransformer3DModel: (p, config) => {
    const network = latteTransformer(p, latteConfig(config))
    return (given, name) => {
      const of = (temporal: boolean) => network(given('sample'), given('timestep'), { context: given('context'), temporal })
      return { made: of(true), ...(name === 'latte' && { still: of(false) }) }
    }
  },
  CogVideoXTransformer3DModel: (p, fields) => {
    const config = cogVideoXConfig(fields)
    const network = cogVideoXTransformer(p, config)
    return (given) => {
      const offset = config.ofs_embed_dim === null ? {} : { offset: constant([2], [1]) }
      return { made: network(given('sample'), given('timestep'), { context: given('context'), ...offset }) }
    }
  },
  WanTransformer3DModel: (p, fields) => {
    const config = wanConfig(fields)
    const network = wanTransformer(p, config)
    return (given) => {
      const image = config.image_dim === null ? {} : { image: given('image') }
      return { made: network(given('sample'), given('timestep'), { context: given('context'), ...image }) }
    }
  },
  AutoencoderKLCogVideoX: (p, config) => coded(cogVideoXVae(p, cogVideoXVaeConfig(config))),
  AutoencoderKLWan: (p, config) => coded(wanVae(p, wanVaeConfig(config))),
}
const nameOf = ({ config }: Described) => (config as { _class_name: string })._class_name
const known = (all: Record<string, Described>) => Object.entries(all).filter(([, one]) => nameOf(one) in networks)

test.each([...known(cases), ...known(published)])('%s has the keys, shapes and parameters of diffusers', (_, one) => {
  const { config, ...keys } = one
  const p = new Params()
  networks[nameOf(one)]?.(p, config)
  expect(keysOf(p)).toEqual(keys)
})

test.each(known(cases))('%s: outputs and gradients agree with diffusers', async (name, one) => {
  const p = new Params()
  const symbols = new Map<string, Tensor>()
  const outputs = (networks[nameOf(one)] as Build)(p, one.config)((key) => {
    const symbol = symbols.get(key) ?? input(key, tensorOf(diffusers, `${name}.${key}`).shape)
    symbols.set(key, symbol)
    return symbol
  }, name)
  expect(await disagreements(diffusers, name, { p, symbols, outputs })).toEqual([])
})
