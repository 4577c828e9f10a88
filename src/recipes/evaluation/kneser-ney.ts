/** The probabilities that n-grams give: of a token after those before it. */
export interface NgramModel {
  /** The order n. */
  readonly order: number
  /** @param context tokens before it, of which the last n − 1 count */
  probability(token: number, context: readonly number[]): number
}

/**
 * Interpolated Kneser–Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999, section 2.7) with one discount an order, estimated from how many
 * n-grams are counted once and twice. Below the highest order an n-gram counts as often as different tokens stand before it, and at the bottom
 * every token is as likely.
 *
 * @param row texts one after another, tokens below `size`
 */
export function kneserNey(
  row: ArrayLike<number>,
  { order, size }: { readonly order: number; readonly size: number },
): NgramModel {
  // A tree: a node is an n-gram, its parent the n-gram without the last token. Node 0 is the empty one.
  const children = new Map<number, number>()
  const parents = [0]
  const depths = [0]
  const child = (node: number, token: number) => children.get(node * size + token)
  const grown = (node: number, token: number): number => {
    const found = child(node, token)
    if (found !== undefined) return found
    children.set(node * size + token, parents.length)
    depths.push((depths[node] as number) + 1)
    return parents.push(node) - 1
  }
  for (let at = 0; at < row.length; at++)
    for (let node = 0, n = 0; n < order && at + n < row.length; n++) node = grown(node, row[at + n] as number)

  const counts = new Float64Array(parents.length)
  const seen = new Uint8Array(parents.length)
  for (let at = 0; at < row.length; at++) {
    let node = child(0, row[at] as number) as number
    let suffix = 0
    for (let n = 1; n <= order; n++) {
      if (n === order) counts[node] = (counts[node] as number) + 1
      // An n-gram's first place tells of a new token before the n-gram without its first token.
      if (n > 1 && seen[node] === 0) counts[suffix] = (counts[suffix] as number) + 1
      seen[node] = 1
      const next = row[at + n]
      if (n === order || next === undefined) break
      suffix = child(suffix, next) as number
      node = child(node, next) as number
    }
  }
  const [sums, kinds] = [new Float64Array(parents.length), new Float64Array(parents.length)]
  const [once, twice] = [new Float64Array(order + 1), new Float64Array(order + 1)]
  for (let node = 1; node < parents.length; node++) {
    const [count, parent, depth] = [counts[node], parents[node], depths[node]] as [number, number, number]
    if (count === 0) continue
    sums[parent] = (sums[parent] as number) + count
    kinds[parent] = (kinds[parent] as number) + 1
    if (count === 1) once[depth] = (once[depth] as number) + 1
    if (count === 2) twice[depth] = (twice[depth] as number) + 1
  }
  const discounts = Array.from(once, (n1, n) => (n1 === 0 ? 0.5 : n1 / (n1 + 2 * (twice[n] as number))))

  /** The node of a context, undefined where the texts do not have it. */
  const nodeOf = (tokens: readonly number[]) =>
    tokens.reduce<number | undefined>((node, token) => (node === undefined ? node : child(node, token)), 0)
  return {
    order,
    probability(token, context) {
      let probability = 1 / size
      for (let n = 1; n <= Math.min(order, context.length + 1); n++) {
        const at = nodeOf(context.slice(context.length - n + 1))
        const sum = at === undefined ? 0 : (sums[at] as number)
        if (at === undefined || sum === 0) break
        const known = child(at, token)
        const count = known === undefined ? 0 : (counts[known] as number)
        const discount = discounts[n] as number
        probability = Math.max(count - discount, 0) / sum + ((discount * (kinds[at] as number)) / sum) * probability
      }
      return probability
    },
  }
}

/** Bits of the tokens [from, to) of a text, each after those before it in the text. */
export function ngramBits(model: NgramModel, tokens: readonly number[], from = 0, to = tokens.length): number {
  let bits = 0
  for (let at = from; at < to; at++)
    bits -= Math.log2(model.probability(tokens[at] as number, tokens.slice(Math.max(0, at - model.order + 1), at)))
  return bits
}
