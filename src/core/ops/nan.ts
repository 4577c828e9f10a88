import type { DType } from '../dtype.ts'
import type { Lowering, Tensor } from '../graph.ts'

/** 1 where x is a number, 0 where it is NaN. */
export const isNumber = (x: Tensor): Tensor => x.eq(x).cast(x.dtype)

/** A value of this dtype, but NaN where `sound` is 0. */
export const withNaN = (b: Lowering, value: string, dtype: DType, sound: string): string =>
  b.emit('Where', [b.emit('Greater', [sound, b.scalar(0, dtype)]), value, b.scalar(NaN, dtype)])
