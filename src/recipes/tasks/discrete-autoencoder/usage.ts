import type { NdArray } from '../../../runtime/ndarray.ts'

/** How many codes are in use as if all of those were equally frequent: the exponential of the entropy of their frequencies. */
export function perplexityOf(tokens: NdArray<'i64'>, codes: number): number {
  const counts = new Float64Array(codes)
  for (const token of tokens.data) counts[Number(token)] = (counts[Number(token)] as number) + 1
  const shares = counts.map((count) => count / tokens.size)
  return Math.exp(shares.reduce((sum, share) => (share > 0 ? sum - share * Math.log(share) : sum), 0))
}
