import { input, type Tensor } from '../../../core/tensor.ts'
import { labelsOf } from '../../../data/dataset.ts'
import type { ComposedScene, Noun, SceneDataset } from '../../../data/index.ts'
import { layerNorm, linear } from '../../../nn/layers.ts'
import type { Params } from '../../../nn/params.ts'
import { crossEntropy } from '../classifier.ts'

interface PatchLabelParts {
  /** Those that learn; the head's are added under `patches`. */
  readonly params: Params
  readonly dataset: SceneDataset
  /** Tokens [B, side², width] of a noisy picture, row by row. */
  readonly tokens: Tensor
}

/**
 * The loss of an auxiliary head, which is not kept: it tells from a denoiser's hidden tokens what stands at each patch of the clean
 * picture. A denoiser whose hidden states are drawn to a description of the clean picture learns many times faster (Yu et al. 2025,
 * REPA); what scenes show is known, so that no other network has to describe them.
 */
export function patchLabelLoss({ params, dataset, tokens }: PatchLabelParts) {
  const [B, N, width] = tokens.shape as [number, number, number]
  const side = Math.sqrt(N)
  const classes = dataset.nouns.length + 1
  const p = params.at('patches')
  const norm = layerNorm(p.at('norm'), width)
  const answer = linear(p.at('answer'), width, classes)
  const logits = answer(norm(tokens)).reshape([B * N, classes])
  return {
    loss: crossEntropy(logits, input('patchLabels', [B * N], 'i64')),
    feeds: (positions: readonly number[]) => ({
      patchLabels: labelsOf(positions.flatMap((at) => patchLabels(dataset.sceneAt(at), dataset.nouns, side))),
    }),
  }
}

/** What stands at the middle of each patch, row by row: 0 the background, else 1 and the noun's number. */
export function patchLabels({ objects }: Pick<ComposedScene, 'objects'>, nouns: readonly Noun[], side: number): number[] {
  const numbers = new Map(nouns.map(({ icon }, i) => [icon.name, i + 1]))
  return Array.from({ length: side * side }, (_, at) => {
    const [x, y] = [((at % side) + 0.5) / side, (Math.floor(at / side) + 0.5) / side]
    // Later objects cover earlier ones.
    const found = objects.findLast((one) => Math.max(Math.abs(x - one.x), Math.abs(y - one.y)) < one.size / 2)
    return found ? (numbers.get(found.icon.name) ?? 0) : 0
  })
}
