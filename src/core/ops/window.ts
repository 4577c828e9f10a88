import { ArgumentError, ShapeError } from '../errors.ts'
import { type Shape, showShape } from '../shape.ts'
import { at } from './op.ts'

/** How a window moves over n spatial axes; each list has n entries. */
export interface ConvAttrs {
  readonly stride: readonly number[]
  readonly dilation: readonly number[]
  /** Zeros before each axis, and after it. */
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly groups: number
}

/** Throws where a window over `n` axes has other than `n` sizes of a list, or sizes that are none. */
export function checkWindow(
  place: string,
  n: number,
  kernel: Shape,
  { stride, dilation, before, after, groups }: ConvAttrs,
): void {
  const lists = {
    kernel: [kernel, 1],
    stride: [stride, 1],
    dilation: [dilation, 1],
    'padding before': [before, 0],
    'padding after': [after, 0],
  } as const
  for (const [name, [list, least]] of Object.entries(lists)) {
    if (list.length !== n || !list.every((k) => Number.isSafeInteger(k) && k >= least && k < 2 ** 31))
      throw new ArgumentError(`${place}: ${name} ${showShape(list)} must be ${n} integer${n === 1 ? '' : 's'} from ${least} on`)
  }
  if (!Number.isInteger(groups) || groups < 1)
    throw new ArgumentError(`${place}: ${groups} groups; their number is an integer from 1 on`)
}

/** Positions of a window on each axis. */
export function windowCount(place: string, spatial: Shape, kernel: Shape, attrs: ConvAttrs) {
  checkWindow(place, spatial.length, kernel, attrs)
  const { stride, dilation, before, after } = attrs
  return spatial.map((n, i) => {
    const reach = at(dilation, i) * (at(kernel, i) - 1) + 1
    const count = Math.floor((n + at(before, i) + at(after, i) - reach) / at(stride, i)) + 1
    if (count < 1) {
      throw new ShapeError(
        `${place}: a window reaching ${reach} does not fit axis ${i + 2} (size ${n}, padding ${before[i]}+${after[i]})`,
      )
    }
    return count
  })
}

export const onnxConv = ({ stride, dilation, before, after, groups }: ConvAttrs, kernel: Shape) => ({
  kernel_shape: kernel,
  strides: stride,
  dilations: dilation,
  pads: [...before, ...after],
  group: groups,
})
