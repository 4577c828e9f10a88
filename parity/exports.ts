/*
 * Exports every operation's cases, and three networks with their gradients, to a folder, with inputs and what our own
 * programs make of them, for exports.py to check: `node parity/exports.ts FOLDER`.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeSafetensors } from '../src/checkpoints/index.ts'
import { attention, concat, grad, input, resize, type Tensor } from '../src/core/index.ts'
import { conv, embedding, groupNorm, layerNorm, linear, Params, rmsNorm, sequence } from '../src/nn/index.ts'
import { type ExportOptions, evaluate, exportOnnx, Generator, NdArray } from '../src/runtime/index.ts'
import { allCases, drawCase, outputsOf } from '../tests/operations/suite.ts'

const folder = process.argv[2]
if (!folder) throw new Error('usage: node parity/exports.ts FOLDER')
const tensors = new Map<string, NdArray>()
const files: Record<string, string> = {}

async function write(
  name: string,
  outputs: Record<string, Tensor>,
  feeds: Record<string, NdArray>,
  weights: Map<string, NdArray> = new Map(),
  options: ExportOptions = {},
): Promise<void> {
  const file = `${name.replaceAll(/[^\w]+/g, '-')}.onnx`
  await exportOnnx({ outputs, weights }, join(folder as string, file), options)
  for (const [key, x] of Object.entries(feeds)) tensors.set(`${file}/input/${key}`, x)
  for (const [key, y] of Object.entries(await evaluate({ outputs, weights }, feeds))) tensors.set(`${file}/output/${key}`, y)
  files[file] = name
}

for (const c of allCases) {
  const { xs, y, feeds } = drawCase(c)
  await write(c.name, outputsOf(c, xs, y), feeds)
}

/** A network's result, and the gradients of its mean square for all parameters. */
async function writeNetwork(name: string, draw: (p: Params) => Tensor, feeds: Record<string, NdArray>, options: ExportOptions) {
  const p = new Params()
  const y = draw(p)
  const parameters = [...p.tensors]
  const wrt = parameters.map(([, w]) => w)
  const gradients = grad(y.square().mean(), wrt).map((g, i) => [`gradient of ${parameters[i]?.[0]}`, g] as const)
  await write(`network/${name}`, { y, ...Object.fromEntries(gradients) }, feeds, p.initialise(new Generator(0)), options)
}

const generator = new Generator(1)
await writeNetwork(
  'MLP',
  (p) => {
    const layers = [linear(p.at(0), 20, 64), layerNorm(p.at(1), 64), (x: Tensor) => x.gelu(), linear(p.at(2), 64, 5)]
    return sequence(...layers)(input('x', [7, 20])).logSoftmax()
  },
  { x: generator.randn([7, 20]) },
  {},
)
await writeNetwork(
  'transformer block',
  (p) => {
    const x = embedding(p.at('tokens'), 50, 24)(input('tokens', [2, 9], 'i64'))
    const h = rmsNorm(p.at('norm'), 24)(x)
    const [q, k, v] = ['q', 'k', 'v'].map((name) => linear(p.at(name), 24, 24, { bias: false })(h)) as [Tensor, Tensor, Tensor]
    const mixed = x.add(linear(p.at('out'), 24, 24)(attention(q, k, v, { heads: 4, causal: true })))
    return linear(p.at('head'), 24, 50)(mixed.add(linear(p.at('mlp'), 24, 24)(mixed).gelu('tanh')))
  },
  {
    tokens: new NdArray(
      BigInt64Array.from({ length: 18 }, (_, i) => BigInt((i * 7) % 13)),
      [2, 9],
      'i64',
    ),
  },
  { weights: 'external' },
)
await writeNetwork(
  'U-Net',
  (p) => {
    const x = input('x', [2, 3, 8, 8])
    const first = conv(p.at('first'), 3, 16, 3, { padding: 1 })(x)
    const normal = groupNorm(p.at('norm'), 4, 16)(first).silu()
    const down = conv(p.at('down'), 16, 32, 3, { stride: 2, padding: 1 })(normal)
    const up = conv(p.at('up'), 32, 16, 3, { padding: 1 })(resize(down.silu(), [8, 8], 'nearest'))
    return conv(p.at('last'), 32, 3, 1)(concat([first, up], 1))
  },
  { x: generator.randn([2, 3, 8, 8]) },
  { weights: 'external' },
)

writeFileSync(join(folder, 'files.json'), JSON.stringify(files))
writeSafetensors(join(folder, 'expected.safetensors'), tensors)
