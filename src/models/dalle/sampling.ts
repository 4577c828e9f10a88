import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'

export interface TokenChoice {
  /** How many of the likeliest codes may be chosen; all unless given. */
  readonly topK?: number | undefined
  /** Logits are divided by it; 1 unless given. */
  readonly temperature?: number
}

/** The least that a number is taken for before its logarithm, as DALLE-pytorch has it. */
const LEAST = 1e-20

/**
 * One code a row by Gumbel's trick: the greatest of the logits over the temperature, each with noise of its own, is a sample of their
 * softmax. Codes that are not among the likeliest are left out before.
 *
 * @param logits of the codes alone, [B, K]
 * @param uniform numbers in [0, 1), [B, K]
 */
export function chooseTokens(
  logits: NdArray<'f32'>,
  uniform: NdArray<'f32'>,
  { topK, temperature = 1 }: TokenChoice = {},
): number[] {
  const [rows, codes] = logits.shape as [number, number]
  if (!(temperature > 0)) throw new ArgumentError(`temperature: expected a number above 0, got ${temperature}`)
  if (topK !== undefined && !(Number.isInteger(topK) && topK > 0))
    throw new ArgumentError(`topK: expected an integer above 0, got ${topK}`)
  return Array.from({ length: rows }, (_, row) => {
    const own = logits.data.subarray(row * codes, (row + 1) * codes)
    const least = topK === undefined || topK >= codes ? -Infinity : (own.toSorted()[codes - topK] as number)
    let best = -Infinity
    let chosen = 0
    for (let k = 0; k < codes; k++) {
      const logit = own[k] as number
      if (logit < least) continue
      const noise = -Math.log(Math.max(LEAST, -Math.log(Math.max(LEAST, uniform.data[row * codes + k] as number))))
      const score = logit / temperature + noise
      if (score > best) [best, chosen] = [score, k]
    }
    return chosen
  })
}
