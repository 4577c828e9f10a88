import { dims } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { linear } from './layers.ts'
import { type Init, type Params, zerosInit } from './params.ts'

/**
 * Numbers that a condition gives a block (Peebles and Xie 2023, adaLN-Zero): condition [B, C] → `parts` of [B, width], by SiLU
 * and `linear`. It starts at zero, so that a gated block starts as the identity.
 */
export function modulation(p: Params, inputs: number, width: number, parts: number, { init = zerosInit }: { init?: Init } = {}) {
  const project = linear(p.at('linear'), inputs, parts * width, { init })
  return (condition: Tensor): Tensor[] => project(condition.silu()).split(parts, 1)
}

/** x · (1 + scale) + shift: x [B, N, D]; shift and scale [B, D], or [B, N, D] token by token. */
export const modulate = (x: Tensor, shift: Tensor, scale: Tensor): Tensor =>
  x.mul(forTokens(scale, x).add(1)).add(forTokens(shift, x))

/** x + gate · y: x, y [B, N, D], gate [B, D]. */
export const gatedSum = (x: Tensor, gate: Tensor, y: Tensor): Tensor => x.add(forTokens(gate, x).mul(y))

/** One row a picture acts on all of its tokens. */
function forTokens(row: Tensor, x: Tensor): Tensor {
  const { D } = dims(x, 'B N D')
  if (row.rank === 3) return row
  dims(row, 'B D', { D })
  return row.unsqueeze(1)
}
