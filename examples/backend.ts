/*
 * A backend of one's own: Node's, wrapped so that it says what is compiled and how long each run takes.
 * `node examples/backend.ts`
 */
import { input } from 'langevin/core'
import { linear, Params } from 'langevin/nn'
import { type Backend, compile, Generator, NdArray, nodeBackend, useBackend } from 'langevin/runtime'

const node = await nodeBackend()
const logging: Backend = {
  ...node,
  name: 'logging',
  async createSession(model, options) {
    const session = await node.createSession(model, options)
    console.log(`${options.device}: ${model.graph.node.length} nodes, ${model.graph.initializer.length} constants`)
    return {
      async run(feeds) {
        const start = performance.now()
        const results = await session.run(feeds)
        console.log(`${Object.keys(results).join(', ')}: ${(performance.now() - start).toFixed(1)} ms`)
        return results
      },
      release: () => session.release(),
    }
  },
}
useBackend(logging)

const p = new Params()
const y = linear(p.at('layer'), 2, 3)(input('x', [1, 2]).silu())
const program = await compile({ outputs: { y }, weights: p.initialise(new Generator(0)) })
console.log((await program.run({ x: NdArray.from([[1, 2]]) })).y?.shape)
await program.release()
