/**
 * The affine map that fits best: for each column of `targets` a row of weights, one for each column of `points` and the constant last.
 * By the normal equations, with a ridge of 10⁻⁶ of their mean diagonal, so that channels that do not vary do no harm.
 */
export function fitLinear(points: readonly (readonly number[])[], targets: readonly (readonly number[])[]): number[][] {
  const width = (points[0]?.length ?? 0) + 1
  const outputs = targets[0]?.length ?? 0
  const gram = Array.from({ length: width }, () => new Array<number>(width + outputs).fill(0))
  for (const [n, point] of points.entries()) {
    const row = [...point, 1]
    const all = [...row, ...(targets[n] as readonly number[])]
    for (let i = 0; i < width; i++)
      for (let j = 0; j < all.length; j++) (gram[i] as number[])[j]! += (row[i] as number) * (all[j] as number)
  }
  const ridge = (1e-6 * gram.reduce((sum, row, i) => sum + (row[i] as number), 0)) / width
  for (let i = 0; i < width; i++) (gram[i] as number[])[i]! += ridge
  // Gauss and Jordan; the matrix is positive definite.
  for (let i = 0; i < width; i++) {
    const pivot = gram[i] as number[]
    for (const [k, row] of gram.entries()) {
      if (k === i) continue
      const factor = (row[i] as number) / (pivot[i] as number)
      for (let j = i; j < row.length; j++) row[j]! -= factor * (pivot[j] as number)
    }
  }
  return Array.from({ length: outputs }, (_, c) => gram.map((row, i) => (row[width + c] as number) / (row[i] as number)))
}
