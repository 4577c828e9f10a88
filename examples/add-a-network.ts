// A network is a function of a parameter scope and a config that gives a function of symbolic tensors. Its parameters' names are
// the checkpoint's keys. The same function trains, loads a checkpoint, runs and exports.
// In the package it stands in src/models/<name>/, and src/pipelines/open/classes.ts has a line for it, by which any page opens it.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { matchWeights, openWeights, saveModel } from 'langevin/checkpoints'
import { input, type Tensor } from 'langevin/core'
import { linear, Params } from 'langevin/nn'
import { evaluate, Generator } from 'langevin/runtime'

interface Config {
  readonly width: number
  readonly layers: number
}

/** x: [B, D] → [B, D], by residual layers x + W₂ SiLU(W₁ x). */
function residualMlp(p: Params, { width, layers }: Config) {
  const blocks = Array.from({ length: layers }, (_, i) => {
    const [first, second] = [1, 2].map((k) => linear(p.at('blocks', i, `linear_${k}`), width, width))
    return (x: Tensor) => x.add((second as (x: Tensor) => Tensor)((first as (x: Tensor) => Tensor)(x).silu()))
  })
  return (x: Tensor) => blocks.reduce((y, block) => block(y), x)
}

// Fresh weights, saved and opened again: every key and shape is held against the network.
const config: Config = { width: 16, layers: 2 }
const p = new Params()
const network = residualMlp(p, config)
const fresh = p.initialise(new Generator(0))
const folder = join(mkdtempSync(join(tmpdir(), 'network-')), 'mlp')
saveModel(folder, { _class_name: 'ResidualMlp', ...config }, fresh)
const weights = matchWeights(p.tensors, openWeights(folder), { place: folder })

const x = new Generator(1).randn([3, 16])
const outputs = { y: network(input('x', [3, 16])) }
const [a, b] = await Promise.all([evaluate({ outputs, weights }, { x }), evaluate({ outputs, weights: fresh }, { x })])
if (
  (a.y as typeof x)
    .sub(b.y as typeof x)
    .abs()
    .max()
    .item() > 1e-6
)
  throw new Error('the saved network is another')
