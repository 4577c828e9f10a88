import { sizeOf } from '../shape.ts'
import type { OnnxModel, OnnxNode } from './proto.ts'

/** The nodes that the outputs depend on: a parameter that is packed leaves its stored value unused. */
export function needed(nodes: readonly OnnxNode[], outputs: readonly string[]): OnnxNode[] {
  const wanted = new Set(outputs)
  const live = nodes.toReversed().filter(({ input, output }) => {
    if (!output.some((name) => wanted.has(name))) return false
    for (const name of input) wanted.add(name)
    return true
  })
  return live.reverse()
}

/** Values of at least so many elements are worth calculating once, before the first run. */
const LARGE = 2 ** 14

/** Whether large values depend on constants only, apart from those that each run calculates anew. */
export function isFoldable({ graph }: OnnxModel, everyRun: ReadonlySet<string>): boolean {
  const constants = new Map(graph.initializer.map(({ name, dims }) => [name, sizeOf(dims)]))
  return graph.node.some(({ input, output, opType }) => {
    if (output.some((name) => everyRun.has(name))) return false
    const sizes = input.filter(Boolean).map((name) => constants.get(name))
    if (sizes.includes(undefined)) return false
    const most = Math.max(0, ...(sizes as number[]))
    for (const name of output) constants.set(name, most)
    return most > LARGE && opType !== 'Reshape'
  })
}
