import type { Generator } from '../../runtime/random.ts'

/** Questions asked, and how many of them were answered as they should be. */
export interface Count {
  readonly right: number
  readonly asked: number
}

/** A share with its 95 % interval. */
export interface Rate {
  readonly share: number
  readonly low: number
  readonly high: number
  readonly asked: number
}

const RESAMPLES = 2000

/**
 * Shares of right answers over units such as pictures, a share a fact, each with its 95 % interval: that of resamples of whole units
 * (Efron 1979, percentiles), since answers about one picture are not independent. Where all answers are right, or none, resamples all
 * agree; then the interval reaches to the share at which so many units would agree by chance in one case of 40.
 *
 * @param units the counts of each unit, by fact
 */
export function bootstrapRates<F extends string>(
  facts: readonly F[],
  units: readonly Readonly<Record<F, Count>>[],
  generator: Generator,
): Record<F, Rate> {
  const resampled = facts.map(() => [] as number[])
  const sums = facts.map((fact) => units.map((unit) => unit[fact]))
  for (let k = 0; k < RESAMPLES && units.length > 0; k++) {
    const picks = units.map(() => generator.bits() % units.length)
    for (const [f, counts] of sums.entries()) {
      let [right, asked] = [0, 0]
      for (const at of picks) {
        const count = counts[at] as Count
        right += count.right
        asked += count.asked
      }
      if (asked > 0) resampled[f]?.push(right / asked)
    }
  }
  return Object.fromEntries(
    facts.map((fact, f) => [fact, withInterval(sums[f] as Count[], Float64Array.from(resampled[f] as number[]).sort())]),
  ) as Record<F, Rate>
}

function withInterval(counts: readonly Count[], shares: Float64Array): Rate {
  const sum = (key: keyof Count) => counts.reduce((total, count) => total + count[key], 0)
  const asked = sum('asked')
  if (asked === 0) return { share: 0, low: 0, high: 1, asked }
  const share = sum('right') / asked
  const least = 0.025 ** (1 / counts.filter((count) => count.asked > 0).length)
  if (share === 1) return { share, low: least, high: 1, asked }
  if (share === 0) return { share, low: 0, high: 1 - least, asked }
  return { share, low: percentile(shares, 0.025), high: percentile(shares, 0.975), asked }
}

/** Of sorted values, linear between two. */
function percentile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1)
  const below = Math.floor(at)
  const [a, b] = [sorted[below] as number, sorted[Math.min(below + 1, sorted.length - 1)] as number]
  return a + (b - a) * (at - below)
}
