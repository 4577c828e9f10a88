import { ArgumentError } from '../errors.ts'
import { topologicalOrder } from '../grad.ts'
import type { Tensor } from '../tensor.ts'

/** A WebAssembly module of one function, `loop(bytes, ...pointers of arrays, ...pointers of outputs, ...scalars)`. */
export interface LoopModule {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Names in the order of the function's arguments. */
  readonly arrays: readonly string[]
  readonly outputs: readonly string[]
  readonly scalars: readonly string[]
}

/** Numbers that one instruction works on. */
export const LANES = 4

/** Instructions on four f32 (WebAssembly 2.0, section 5.4.8), after the prefix of vector instructions. */
const arithmetic: Readonly<Record<string, number>> = {
  abs: 0xe0,
  neg: 0xe1,
  sqrt: 0xe3,
  add: 0xe4,
  sub: 0xe5,
  mul: 0xe6,
  div: 0xe7,
  minimum: 0xe8,
  maximum: 0xe9,
}
const [VECTOR, LOAD, STORE, SPLAT] = [0xfd, 0x00, 0x0b, 0x13]
const [I32, F32, V128, EMPTY, FUNCTION] = [0x7f, 0x7d, 0x7b, 0x40, 0x60]
const [BLOCK, LOOP, END, BR, BR_IF] = [0x02, 0x03, 0x0b, 0x0c, 0x0d]
const [GET, SET, I32_CONST, F32_CONST, I32_ADD, I32_GE_U] = [0x20, 0x21, 0x41, 0x43, 0x6a, 0x4f]

/**
 * Elementwise arithmetic in f32 as one pass over memory: every array is read once and every output written once, where a
 * program of ONNX Runtime would do so for each operation. Inputs of shape [4] stand for arrays of any length (in multiples
 * of four), inputs of one element for scalars. An output may lie where an array does.
 * @throws ArgumentError for an operation other than arithmetic, or another shape
 */
export function lowerLoop(outputs: Readonly<Record<string, Tensor>>): LoopModule {
  const nodes = topologicalOrder(Object.values(outputs))
  for (const x of nodes) {
    if (x.dtype !== 'f32' || (x.size !== 1 && x.size !== LANES))
      throw new ArgumentError(`a loop takes f32 of 1 or ${LANES} elements, ${x.describe()} is ${x.dtype} of ${x.size}`)
  }
  const inputs = nodes.filter((x) => x.name !== undefined)
  const [arrays, scalars] = [inputs.filter((x) => x.size === LANES), inputs.filter((x) => x.size === 1)]

  // Arguments come first among the locals, then the offset, then a vector for each node.
  const pointers = arrays.length + Object.keys(outputs).length
  const offset = 1 + pointers + scalars.length
  const local = new Map(nodes.map((x, i) => [x, offset + 1 + i]))
  const get = (x: Tensor) => [GET, ...leb(local.get(x) as number)]
  const address = (pointer: number) => [GET, ...leb(1 + pointer), GET, ...leb(offset), I32_ADD]
  const memory = [0x02, 0x00] // Aligned to 4 bytes, no further offset.

  const value = (x: Tensor): number[] => {
    const { op, attrs } = x
    if (x.name !== undefined)
      return x.size === LANES
        ? [...address(arrays.indexOf(x)), VECTOR, LOAD, ...memory]
        : [GET, ...leb(1 + pointers + scalars.indexOf(x)), VECTOR, SPLAT]
    if (op.name === 'constant' && x.size === 1) return [F32_CONST, ...f32(Number(attrs.data[0])), VECTOR, SPLAT]
    if (op.name === 'expand' || op.name === 'reshape') return get(x.inputs[0] as Tensor)
    const instruction = arithmetic[op.name]
    if (instruction === undefined) throw new ArgumentError(`a loop has no ${op.name}, only ${Object.keys(arithmetic).join(', ')}`)
    return [...x.inputs.flatMap(get), VECTOR, ...leb(instruction)]
  }
  const computed = (some: readonly Tensor[]) => some.flatMap((x) => [...value(x), SET, ...leb(local.get(x) as number)])
  const stores = Object.values(outputs).flatMap((x, i) => [...address(arrays.length + i), ...get(x), VECTOR, STORE, ...memory])

  const code = [
    ...computed(nodes.filter((x) => x.size === 1)),
    ...[BLOCK, EMPTY, LOOP, EMPTY],
    ...[GET, ...leb(offset), GET, 0, I32_GE_U, BR_IF, 1],
    ...computed(nodes.filter((x) => x.size === LANES)),
    ...stores,
    ...[GET, ...leb(offset), I32_CONST, 4 * LANES, I32_ADD, SET, ...leb(offset), BR, 0],
    ...[END, END, END],
  ]
  const parameters = [...Array(1 + pointers).fill(I32), ...scalars.map(() => F32)]
  const bytes = moduleOf(parameters, [
    ...list([
      [...leb(1), I32],
      [...leb(nodes.length), V128],
    ]),
    ...code,
  ])
  const names = (some: readonly Tensor[]) => some.map(({ name }) => name as string)
  return { bytes, arrays: names(arrays), outputs: Object.keys(outputs), scalars: names(scalars) }
}

/** A module whose one function takes these types and has this body; its memory is imported as `env.memory`. */
function moduleOf(parameters: readonly number[], body: readonly number[]): Uint8Array<ArrayBuffer> {
  const section = (id: number, content: readonly number[]) => [id, ...sized(content)]
  return Uint8Array.from([
    ...[...text('\0asm'), 1, 0, 0, 0],
    ...section(1, list([[FUNCTION, ...sized(parameters), 0]])),
    ...section(2, list([[...sized(text('env')), ...sized(text('memory')), 0x02, 0x00, 1]])),
    ...section(3, list([[0]])),
    ...section(7, list([[...sized(text('loop')), 0x00, 0]])),
    ...section(10, list([sized(body)])),
  ])
}

const text = (characters: string) => Array.from(characters, (c) => c.charCodeAt(0))
const f32 = (x: number) => new Uint8Array(Float32Array.of(x).buffer)
const sized = (bytes: readonly number[]) => [...leb(bytes.length), ...bytes]
const list = (items: readonly (readonly number[])[]) => [...leb(items.length), ...items.flat()]

/** An unsigned number in groups of seven bits (LEB128). */
function leb(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...leb(n >>> 7)]
}
