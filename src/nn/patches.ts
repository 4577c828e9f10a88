import { ArgumentError, ShapeError } from '../core/errors.ts'
import { linear as linearOf } from '../core/functions.ts'
import { dims, showShape } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import type { Layer } from './layers.ts'
import { fanIn, type Params } from './params.ts'

/** Which axis is innermost inside a patch: channels last as in DiT, PixArt and SD3, or channels first as FLUX packs them. */
export type PatchOrder = 'channels last' | 'channels first'

/** Pictures as rows of patches: x [B, C, H, W] → [B, (H/p)·(W/p), C·p·p]. */
export function patchify(x: Tensor, patch: number, order: PatchOrder = 'channels last'): Tensor {
  const { B, C, H, W } = dims(x, 'B C H W')
  checkPatch('patchify', x, patch)
  const apart = x.reshape([B, C, H / patch, patch, W / patch, patch])
  const inOrder = order === 'channels last' ? apart.transpose(0, 2, 4, 3, 5, 1) : apart.transpose(0, 2, 4, 1, 3, 5)
  return inOrder.reshape([B, (H / patch) * (W / patch), C * patch * patch])
}

/** Rows of patches as pictures: x [B, rows·columns, C·p·p] → [B, C, rows·p, columns·p]. */
export function unpatchify(x: Tensor, rows: number, columns: number, patch: number, order: PatchOrder = 'channels last'): Tensor {
  const { B, D } = dims(x, 'B N D', { N: rows * columns })
  const C = D / patch ** 2
  if (!Number.isInteger(C)) throw new ShapeError(`unpatchify: ${D} values do not make patches of ${patch}×${patch}`)
  const picture = [B, C, rows * patch, columns * patch]
  return order === 'channels last'
    ? x.reshape([B, rows, columns, patch, patch, C]).transpose(0, 5, 1, 3, 2, 4).reshape(picture)
    : x.reshape([B, rows, columns, C, patch, patch]).transpose(0, 3, 1, 4, 2, 5).reshape(picture)
}

/**
 * Patches of a picture as tokens (Dosovitskiy et al. 2021, eq. 1): [B, C, H, W] → [B, (H/p)·(W/p), width]. The weight is the
 * checkpoint's, a convolution's [width, C, p, p]; its windows do not overlap, so it is one matrix product.
 */
export function patchEmbedding(p: Params, channels: number, width: number, patch: number, { bias = true } = {}): Layer {
  const values = channels * patch ** 2
  const weight = p.get('weight', [width, channels, patch, patch], fanIn(values))
  const shift = bias ? p.get('bias', [width], fanIn(values)) : undefined
  return (x) => {
    dims(x, 'B C H W', { C: channels })
    return linearOf(patchify(x, patch, 'channels first'), weight.reshape([width, values]), shift)
  }
}

function checkPatch(place: string, x: Tensor, patch: number): void {
  if (!Number.isInteger(patch) || patch < 1) throw new ArgumentError(`${place}: patches of ${patch} pixels`)
  const [, , H = 0, W = 0] = x.shape
  if (H % patch !== 0 || W % patch !== 0)
    throw new ShapeError(`${place}: ${x.describe()} ${showShape(x.shape)} does not divide into patches of ${patch}×${patch}`)
}
