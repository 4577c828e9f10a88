import { range } from '../../core/shape.ts'

/**
 * Which tokens see which in block diffusion's training (Arriola et al. 2025, section 4.1): [2n, 2n] of 0 (seen) and −10⁹, for n noisy
 * tokens followed by the same n clean ones. A noisy block sees itself and the clean blocks before it; a clean block the clean ones up
 * to itself.
 */
export function blockTrainingMask(n: number, block: number): Float32Array {
  const blockOf = (i: number) => Math.floor((i % n) / block)
  const seen = (query: number, key: number) => {
    const [q, k] = [blockOf(query), blockOf(key)]
    const [cleanQuery, cleanKey] = [query >= n, key >= n]
    if (cleanKey) return cleanQuery ? q >= k : q > k
    return !cleanQuery && q === k
  }
  return Float32Array.from(range(4 * n * n), (i) => (seen(Math.floor(i / (2 * n)), i % (2 * n)) ? 0 : -1e9))
}

/** Which tokens see which where blocks stand one after another: each its own block and those before, [n, n]. */
export const blockCausalMask = (n: number, block: number): Float32Array =>
  Float32Array.from(range(n * n), (i) => (Math.floor((i % n) / block) <= Math.floor(Math.floor(i / n) / block) ? 0 : -1e9))
