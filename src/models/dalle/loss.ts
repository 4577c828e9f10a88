import { dims } from '../../core/shape.ts'
import { arange, type Tensor } from '../../core/tensor.ts'
import type { DalleConfig } from './config.ts'
import type { Dalle } from './network.ts'

/** Mean cross-entropies in nats, and their sum as it is minimised: one element each. */
export interface DalleLoss {
  readonly text: Tensor
  readonly image: Tensor
  readonly loss: Tensor
  /** Of each image token: [B, tokens]. */
  readonly imageNats: Tensor
}

/** −ln p of the targets: logits [B, N, K], targets i64 [B, N] → [B, N]. */
function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const { K } = dims(logits, 'B N K')
  const right = targets.unsqueeze(2).eq(arange(K, 'i64')).cast('f32')
  return logits.logSoftmax(2).mul(right).sum(2).neg()
}

/**
 * The loss of text and image tokens, 1 to `loss_img_weight`, which is 7 (Ramesh et al. 2021, section 2.2). Where texts are padded, the
 * tokens that pad are predicted too, as there.
 *
 * @param text i64 [B, text_seq_len + 1], as `textInput` gives it
 * @param image i64 [B, tokens]
 */
export function dalleLoss(
  network: Dalle,
  { loss_img_weight: weight, text_seq_len: words }: DalleConfig,
  text: Tensor,
  image: Tensor,
): DalleLoss {
  const { hidden } = network.whole(text, image)
  const ofText = crossEntropy(network.textLogits(hidden.slice(1, 0, words)), text.slice(1, 1)).mean()
  const imageNats = crossEntropy(network.imageLogits(hidden.slice(1, words)), image)
  const ofImage = imageNats.mean()
  return { text: ofText, image: ofImage, imageNats, loss: ofText.add(ofImage.mul(weight)).div(1 + weight) }
}
