import { z } from 'zod'
import { input, type Tensor } from '../../../core/tensor.ts'
import { type Background, backgroundNames, type ComposedScene } from '../../../data/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'

/** Keeps latents to what is at their position, whatever stands around it. */
export const localitySchema = z.strictObject({
  /** Against the error of pictures. */
  weight: z.number().positive(),
  /** Cells around a position that its latents may depend on. */
  margin: z.int().min(0).default(1),
})

/** A scene's picture, its twin on another background, and where they are the same. */
export interface Twins {
  /** [B, 3, H, W]. */
  readonly twins: NdArray<'f32'>
  /** [B, 1, h, w]: 1 where a cell and those around it show the same in both. */
  readonly kept: NdArray<'f32'>
}

/**
 * How far latents depend on what is around their position: an encoder's norms and attention see the whole picture, so that one object
 * on two backgrounds has different latents, each of which a diffusion model would have to learn. Consistency under a change of the
 * picture, as in EQ-VAE (Kouzelis et al. 2025), which scales and turns it.
 *
 * @param latents those of the pictures [B, c, h, w]
 * @param encode pictures → latents
 * @returns the mean square of the difference to the twins' latents where they should be alike, picture by picture, over that of
 *   all latents
 */
export function locality(images: Tensor, latents: Tensor, encode: (images: Tensor) => Tensor): Tensor {
  const [batch, channels, h, w] = latents.shape as [number, number, number, number]
  const [twins, kept] = [input('twins', images.shape), input('kept', [batch, 1, h, w])]
  const square = encode(twins).sub(latents).square().mul(kept).sum([1, 2, 3])
  // A small object counts as much as a large one, though it has fewer cells and more of the background around it.
  const each = square.div(kept.sum([1, 2, 3]).mul(channels).maximum(1))
  return each.mean().div(latents.square().mean().stopGradient())
}

/** Draws a batch of scenes once more, each on another background. */
export function twinsOf(
  { images, scenes }: { readonly images: NdArray<'f32'>; readonly scenes: readonly ComposedScene[] },
  render: (scenes: readonly ComposedScene[]) => NdArray<'f32'>,
  generator: Generator,
  { cells, margin }: { readonly cells: number; readonly margin: number },
): Twins {
  const other = (background: Background): Background => {
    const rest = backgroundNames.filter((name) => name !== background)
    return rest[Number(generator.randint(0, rest.length, [1]).item())] as Background
  }
  const twins = render(scenes.map((scene) => ({ ...scene, background: other(scene.background) })))
  return { twins, kept: sameCells(images, twins, cells, margin) }
}

/** Values in [−1, 1] that differ by less look alike. */
const SEEN = 0.02

function sameCells(a: NdArray<'f32'>, b: NdArray<'f32'>, cells: number, margin: number): NdArray<'f32'> {
  const [batch, channels, side] = a.shape as [number, number, number, number]
  const factor = side / cells
  const differs = new Uint8Array(batch * cells * cells)
  for (let i = 0; i < a.size; i++) {
    if (Math.abs((a.data[i] as number) - (b.data[i] as number)) < SEEN) continue
    const [x, y, n] = [i % side, Math.floor(i / side) % side, Math.floor(i / (channels * side * side))]
    differs[(n * cells + Math.floor(y / factor)) * cells + Math.floor(x / factor)] = 1
  }
  const kept = NdArray.zeros([batch, 1, cells, cells])
  for (let i = 0; i < kept.size; i++) {
    const [x, y, n] = [i % cells, Math.floor(i / cells) % cells, Math.floor(i / (cells * cells))]
    let same = 1
    for (let v = Math.max(0, y - margin); v <= Math.min(cells - 1, y + margin); v++)
      for (let u = Math.max(0, x - margin); u <= Math.min(cells - 1, x + margin); u++)
        if (differs[(n * cells + v) * cells + u]) same = 0
    kept.data[i] = same
  }
  return kept
}
