import type { Shape } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { type ConvAttrs, onnxConv } from './conv.ts'
import { at, type Lowering } from './op.ts'

export function canBlock(b: Lowering, x: Shape, w: Shape, { groups }: ConvAttrs): boolean {
  const n = b.channelBlock
  return n > 0 && b.target === 'cpu' && x.length === 4 && groups === 1 && at(w, 0) % n === 0 && at(w, 1) % n === 0
}

export function blockedConv(b: Lowering, x: Tensor, w: Tensor, attrs: ConvAttrs, _o: { transposed?: boolean } = {}): string {
  return b.emit('Conv', [b.value(x), b.value(w)], onnxConv(attrs, w.shape.slice(2)))
}
