/** A row of numbers, one for each token. */
type Row = Float32Array | Float64Array

/** The place of the largest, the first of equals. */
export function largest(values: Row): number {
  let best = 0
  for (let j = 1; j < values.length; j++) if ((values[j] as number) > (values[best] as number)) best = j
  return best
}

/** Softmax of logits divided by a temperature; temperature 0 gives all to the largest. */
export function softmax<T extends Row>(logits: T, temperature = 1): T {
  const best = largest(logits)
  const most = logits[best] as number
  const out = logits.slice() as T
  if (temperature === 0) {
    out.fill(0)
    out[best] = 1
    return out
  }
  let total = 0
  for (let j = 0; j < out.length; j++) {
    out[j] = Math.exp(((out[j] as number) - most) / temperature)
    total += out[j] as number
  }
  for (let j = 0; j < out.length; j++) out[j] = (out[j] as number) / total
  return out
}

/**
 * Takes their shares from all but the likeliest: so many of them, and no more than have `share` together, the last of those whole (Holtzman
 * et al. 2020). What is left is not normalised.
 */
export function keepLikeliest(
  shares: Row,
  { share = 1, count = shares.length }: { readonly share?: number | undefined; readonly count?: number | undefined },
): void {
  if (share >= 1 && count >= shares.length) return
  const order = Uint32Array.from(shares.keys()).sort((a, b) => (shares[b] as number) - (shares[a] as number))
  let sum = 0
  order.forEach((j, rank) => {
    const over = rank >= count || sum >= share
    sum += shares[j] as number
    if (over) shares[j] = 0
  })
}
