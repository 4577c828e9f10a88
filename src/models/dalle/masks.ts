/**
 * Which tokens a layer lets an image token see, beside all of the text. The paper's (Ramesh et al. 2021, figure 11), where rows are
 * side by side without an end: `row`, the last row's length of tokens and its own; `column`; `conv`, a square about it as far as it is
 * past. DALLE-pytorch's: `axial_row`, its own row alone; `axial_col`, the same as `column`; `conv_like`, 5×5 that end at it.
 */
export const attentionTypes = ['full', 'row', 'column', 'conv', 'axial_row', 'axial_col', 'conv_like'] as const
export type AttentionType = (typeof attentionTypes)[number]

export interface Grid {
  /** Text tokens, the start among them. */
  readonly text: number
  /** Tokens a side. */
  readonly side: number
  /** Rows and columns of `conv`. */
  readonly kernel: number
}

/** Rows and columns that DALLE-pytorch's convolution sees. */
const CONV_LIKE = 5

/** Whether image token `i` sees image token `j` ≤ i, in raster order. */
const sees: Readonly<Record<AttentionType, (i: number, j: number, grid: Grid) => boolean>> = {
  full: () => true,
  row: (i, j, { side }) => i - j <= side,
  column: (i, j, { side }) => (i - j) % side === 0,
  conv: (i, j, { side, kernel }) => {
    const half = (kernel - 1) / 2
    for (let up = 0; up <= half; up++) if (Math.abs(i - j - up * side) <= half) return true
    return false
  },
  axial_row: (i, j, { side }) => Math.floor(i / side) === Math.floor(j / side),
  axial_col: (i, j, { side }) => (i - j) % side === 0,
  conv_like: (i, j, { side }) => {
    const [up, left] = [Math.floor(i / side) - Math.floor(j / side), (i % side) - (j % side)]
    return up < CONV_LIKE && left >= 0 && left < CONV_LIKE
  },
}

/** Which of `length` tokens, text then picture, see which: row by row, 1 where row i sees column j. */
export function attentionMask(type: AttentionType, length: number, grid: Grid): Uint8Array {
  const mask = new Uint8Array(length * length)
  const { text } = grid
  for (let i = 0; i < length; i++)
    for (let j = 0; j <= i; j++) mask[i * length + j] = Number(j < text || sees[type](i - text, j - text, grid))
  return mask
}
