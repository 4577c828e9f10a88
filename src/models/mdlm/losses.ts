import { arange, type Tensor } from '../../core/tensor.ts'

interface Asked {
  /** Clean tokens i64 [B, N]. */
  readonly labels: Tensor
  /** What each token weighs, f32 [B, N]; 0 for those that the network was shown. */
  readonly weights: Tensor
}

/**
 * Nats of each text [B] by logits [B, N, V], whose last token, the mask, is no text (SUBS: Sahoo et al. 2024, section 3.2.3). Weighted by
 * `boundWeight` at the masked tokens it is a draw of the bound on −ln p; with all weights 1 an autoregressive network's −ln p.
 */
export function tokenNats(logits: Tensor, { labels, weights }: Asked): Tensor {
  const { all, clean } = columns(logits, labels)
  return clean(all.logSoftmax()).mul(weights).sum(1).neg()
}

/**
 * Nats of each text [B] by the score entropy of absorbing diffusion (Lou et al. 2024, eq. 7), where scores are scaled by the noise level
 * (appendix C.2): s_y = e^(logit_y) / ((e^σ − 1)(V − 1)). With σ′/(e^σ − 1) taken out, which is `boundWeight`, a masked token's term is
 * Σ_y e^z_y − z_clean − 1 for z = logits − ln(V − 1): the cross-entropy where the scores sum to one, and more where not.
 */
export function scoreNats(logits: Tensor, { labels, weights }: Asked): Tensor {
  const { all, clean } = columns(logits, labels)
  const scaled = all.sub(Math.log(all.shape[2] as number))
  return scaled.exp().sum(2).sub(clean(scaled)).sub(1).mul(weights).sum(1)
}

/** Logits without the mask's, and how the clean tokens' are taken out of such rows: [B, N, V − 1] → [B, N]. */
function columns(logits: Tensor, labels: Tensor) {
  const V = logits.shape[2] as number
  const hit = labels
    .unsqueeze(2)
    .eq(arange(V - 1, 'i64'))
    .cast('f32')
  return { all: logits.slice(2, 0, V - 1), clean: (rows: Tensor) => rows.mul(hit).sum(2) }
}
