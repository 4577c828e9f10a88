import { avgPool, resize } from '../core/functions.ts'
import { dims } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'

/** ln of it is added where a prompt is not seen at all: what leaks in is 10⁻³⁰. */
const UNSEEN = 1e-30

/**
 * Scores that let each pixel see the prompts of its regions: weights [B, R, h, w] of R prompts, whose tokens stand one prompt after
 * another in a context of `tokens` → [B, 1, H·W, tokens] for the pixels of [H, W]. A weight w multiplies the attention to a prompt's
 * tokens by w before it is normalised, so that weights of all prompts alike change nothing.
 */
export function regionScores(weights: Tensor, tokens: number): (height: number, width: number) => Tensor {
  const { B, R, h, w } = dims(weights, 'B R h w')
  const known = new Map<string, Tensor>()
  return (height, width) => {
    const key = `${height} ${width}`
    const made = known.get(key) ?? scores(height, width)
    known.set(key, made)
    return made
  }

  function scores(height: number, width: number): Tensor {
    const whole = h % height === 0 && w % width === 0
    const here = whole ? avgPool(weights, [h / height, w / width]) : resize(weights, [height, width], 'bilinear')
    const rows = here.reshape([B, R, height * width]).transpose(0, 2, 1)
    const each = tokens / R
    const spread = rows
      .maximum(UNSEEN)
      .log()
      .unsqueeze(3)
      .expand([B, height * width, R, each])
    return spread.reshape([B, 1, height * width, tokens])
  }
}
