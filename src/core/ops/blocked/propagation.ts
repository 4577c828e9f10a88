import type { Lowering, Tensor } from '../../graph.ts'
import { add, leakyRelu, relu, silu } from '../elementwise.ts'
import { concat } from '../move.ts'
import { type GroupNormAttrs, groupNorm } from '../norm.ts'
import { at } from '../op.ts'
import { blocked, channelMeans, convolve, keepBlocked, knownBlocked, reshape, unblocked } from './layout.ts'

/*
 * Layout propagation (NCHWc): operations between two convolutions on blocked channels run on blocked channels too: sums,
 * activations, concatenations, and group norm, whose plain kernel runs on one core. Values are reordered only for other operations.
 */

/** Sums over larger pictures lose digits, since they add one value after another. */
const MOST_PIXELS = 4096

/**
 * The value of x calculated on blocked channels, where its operands are known there. Later operations on blocked channels use it
 * directly; if there are no others, its plain value drops out of the graph.
 */
export function propagated(b: Lowering, x: Tensor): string | undefined {
  const [, channels = 0] = x.shape
  if (b.channelBlock === 0 || x.rank !== 4 || x.dtype !== 'f32' || channels % b.channelBlock !== 0) return undefined
  const found = onBlockedChannels(b, x)
  return found && unblocked(b, keepBlocked(b, x, found), channels)
}

function onBlockedChannels(b: Lowering, x: Tensor): string | undefined {
  const known = x.inputs.map((y) => knownBlocked(b, y))
  switch (x.op) {
    case groupNorm:
      return normalized(b, x)
    case silu:
    case leakyRelu:
    case relu:
      return known.every(isThere) ? itself(b, x, known) : undefined
    case concat:
      return x.attrs.axis === 1 && known.every(isThere) ? itself(b, x, known) : undefined
    case add:
      return x.inputs.every(({ size }) => size === x.size) && known.some(isThere)
        ? itself(
            b,
            x,
            x.inputs.map((y) => blocked(b, y)),
          )
        : undefined
    default:
      return undefined
  }
}

const isThere = (name: string | undefined): name is string => name !== undefined

/** The operation's usual lowering, of operands on blocked channels: it does not depend on the order of elements. */
const itself = (b: Lowering, x: Tensor, operands: readonly string[]): string =>
  typeof x.op.lower === 'string' ? b.emit(x.op.lower, operands) : x.op.lower(b, operands, x)

/** x, and what is added to whole channels of it: a group norm can take it into account without adding it. */
function offsetOf(x: Tensor): { readonly base: Tensor; readonly offset?: Tensor } {
  if (x.op !== add) return { base: x }
  const [base, offset] = x.inputs as [Tensor, Tensor]
  const whole = offset.rank === 4 && offset.shape[2] === 1 && offset.shape[3] === 1 && offset.shape[1] === x.shape[1]
  return whole && base.size === x.size ? { base, offset } : { base: x }
}

/**
 * Group norm: every channel of every picture less its own mean, then scaled and shifted, as two depthwise convolutions. The
 * squares are summed by a third, of each channel by itself.
 */
function normalized(b: Lowering, { inputs, attrs: { groups, eps } }: Tensor<GroupNormAttrs>): string | undefined {
  const [x, weight, bias] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
  const { base, offset } = offsetOf(x)
  const [B, C, H, W] = x.shape as [number, number, number, number]
  const input = H * W <= MOST_PIXELS ? knownBlocked(b, base) : undefined
  if (!input) return undefined
  const rows = B * C
  const perChannel = (name: string, batch = B) => reshape(b, name, [batch, groups, C / groups])
  const overGroup = (name: string) => b.emit('ReduceMean', [name, b.ints([2])], { keepdims: 1 })
  const number = (value: number) => b.scalar(value, 'f32')
  const each = { stride: [1, 1], dilation: [1, 1], before: [0, 0], after: [0, 0], groups: rows }
  const depthwise = (picture: string, factors: string, shift: string) =>
    convolve(b, [picture, reshape(b, factors, [rows, 1, 1, 1]), reshape(b, shift, [rows])], [1, 1], each)

  const pictures = reshape(b, input, [1, rows, H, W])
  const means = channelMeans(b, pictures)
  const centred = depthwise(pictures, b.constant(new Float32Array(rows).fill(1), 'f32', [rows]), b.emit('Neg', [means]))
  const squares = convolve(b, [centred, reshape(b, centred, [rows, 1, H, W])], [H, W], each)

  const own = perChannel(means)
  const mean = offset ? b.emit('Add', [own, perChannel(b.value(offset), at(offset.shape, 0))]) : own
  const apart = b.emit('Sub', [mean, overGroup(mean)])
  const within = b.emit('Mul', [perChannel(squares), number(1 / (H * W))])
  const variance = overGroup(b.emit('Add', [within, b.emit('Mul', [apart, apart])]))
  const deviation = b.emit('Sqrt', [b.emit('Add', [variance, number(eps)])])
  const scale = b.emit('Div', [perChannel(b.value(weight), 1), deviation])
  const shift = b.emit('Add', [b.emit('Mul', [apart, scale]), perChannel(b.value(bias), 1)])
  return reshape(b, depthwise(centred, scale, shift), [B, C, H, W])
}
