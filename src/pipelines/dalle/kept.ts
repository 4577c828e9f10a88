import { range } from '../../core/shape.ts'
import { type DalleConfig, lengthsOf } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'

type Outputs = Readonly<Record<string, NdArray>>

/** Keys and values of the tokens so far, on the host, in the arrays that the engine reads: a step writes one token's into them. */
export interface Kept {
  /** What the step of image token `at` is fed beside the token. */
  feeds(at: number): Record<string, NdArray>
  /** Takes over what that step gave. */
  keep(found: Outputs, at: number): void
}

/**
 * @param start what the program of the texts gave: keys and values [entries, words, heads · width] a layer
 * @param entryOf of each sequence: which of the texts it goes on from
 */
export function keptOf(config: DalleConfig, start: Outputs, entryOf: readonly number[]): Kept {
  const { text: words, inputs } = lengthsOf(config)
  const { heads, dim_head: width, dim, depth, shift_tokens, image_fmap_size: side } = config
  const rows = entryOf.length
  const size = heads * width * inputs
  const layers = range(depth)
  const made = () => layers.map(() => new Float32Array(rows * size))
  const [keys, values] = [made(), made()]
  /** [rows, tokens, heads · width] into those rows of [rows, heads, inputs, width], from token `at` on. */
  const write = (from: Float32Array, to: Float32Array, tokens: number, at: number, into: (row: number) => number) => {
    const all = from.length / (tokens * heads * width)
    let read = 0
    for (let row = 0; row < all; row++)
      for (let token = 0; token < tokens; token++)
        for (let head = 0; head < heads; head++) {
          let place = into(row) * size + (head * inputs + at + token) * width
          // A loop of its own: views and `set` cost more than so few numbers.
          for (const end = place + width; place < end; ) to[place++] = from[read++] as number
        }
  }
  const both = (found: Outputs, layer: number, tokens: number, at: number, into: (row: number) => number) => {
    for (const [name, kept] of [
      ['keys', keys],
      ['values', values],
    ] as const)
      write((found[`new ${name} ${layer}`] as NdArray<'f32'>).data, kept[layer] as Float32Array, tokens, at, into)
  }
  for (const layer of layers) {
    // Once for each text, in the first row that has it; the others copy that.
    both(start, layer, words, 0, (entry) => entryOf.indexOf(entry))
    for (const array of [keys[layer], values[layer]] as Float32Array[])
      for (const [row, entry] of entryOf.entries()) {
        const first = entryOf.indexOf(entry)
        if (first !== row) array.copyWithin(row * size, first * size, (first + 1) * size)
      }
  }
  const branches = range(shift_tokens ? 2 * depth : 0)
  /** First halves of the channels that each branch read, of the last row of tokens. */
  const read = branches.map(() => new Map<number, Float32Array>())

  /** The token's own row above and the one to its left, [rows, 1, dim/2]. */
  const shiftOf = (branch: number, at: number): NdArray<'f32'> => {
    const out = new Float32Array((rows * dim) / 2)
    const [half, quarter] = [dim / 2, dim / 4]
    const [above, left] = [read[branch]?.get(at - side), at % side === 0 ? undefined : read[branch]?.get(at - 1)]
    for (let row = 0; row < rows; row++) {
      if (above) out.set(above.subarray(row * half, row * half + quarter), row * half)
      if (left) out.set(left.subarray(row * half + quarter, (row + 1) * half), row * half + quarter)
    }
    return new NdArray(out, [rows, 1, half], 'f32')
  }
  return {
    feeds: (at) => ({
      ...Object.fromEntries(
        layers.map((i) => [`keys ${i}`, new NdArray(keys[i] as Float32Array, [rows, heads, inputs, width], 'f32')]),
      ),
      ...Object.fromEntries(
        layers.map((i) => [`values ${i}`, new NdArray(values[i] as Float32Array, [rows, heads, inputs, width], 'f32')]),
      ),
      ...Object.fromEntries(branches.map((i) => [`shifts ${i}`, shiftOf(i, at)])),
    }),
    keep(found, at) {
      for (const layer of layers) both(found, layer, 1, words + at, (row) => row)
      for (const i of branches) {
        read[i]?.set(at, (found[`new shifts ${i}`] as NdArray<'f32'>).data)
        read[i]?.delete(at - side)
      }
    },
  }
}
