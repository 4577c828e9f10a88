import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../tests/fixture.ts'
import { type Described, disagreements, keysOf } from '../../tests/networks.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { Params } from '../nn/params.ts'
import { latteConfig, latteTransformer } from './latte/index.ts'

const diffusers = fixture('video')
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)

type Build = (p: Params, config: unknown) => (given: (key: string) => Tensor, name: string) => Record<string, Tensor>
const networks: Readonly<Record<string, Build>> = {
  LatteTransformer3DModel: (p, config) => {
    const network = latteTransformer(p, latteConfig(config))
    return (given, name) => {
      const of = (temporal: boolean) => network(given('sample'), given('timestep'), { context: given('context'), temporal })
      return { made: of(true), ...(name === 'latte' && { still: of(false) }) }
    }
  },
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
