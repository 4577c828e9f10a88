import type { NdArray } from './ndarray.ts'

/**
 * Frees an array that nobody reads again now, not when garbage is next collected: a network's weights or a program's
 * outputs may be hundreds of megabytes. The array, and every other on the same memory, is empty from then on.
 */
export const free = ({ data }: NdArray): unknown => data.buffer instanceof ArrayBuffer && data.buffer.transfer(0)
