import { expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { BinomialDiffusion, type BitFlip } from './binomial.ts'
import { DiscreteDiffusion, drawTokens, evenBetas } from './discrete.ts'

/** The reverse of data that is one of `strings`, evenly: the best independent bits, in closed form. */
function oracle(process: BinomialDiffusion, strings: readonly (readonly number[])[]): BitFlip {
  return (x, t) => {
    const [rows, n] = x.shape as [number, number]
    const now = x.data as Float32Array
    const out = new Float32Array(now.length)
    const [zero, one] = [process.marginal(0, t), process.marginal(1, t)]
    const before = Float64Array.from([0, 1].flatMap((bit) => [0, 1].map((data) => process.posterior(bit, data, t))))
    const likely = new Float64Array(strings.length)
    for (let row = 0; row < rows; row++) {
      let total = 0
      for (const [k, s] of strings.entries()) {
        let p = 1
        for (let j = 0; j < n; j++) {
          const q = s[j] === 1 ? one : zero
          p *= now[row * n + j] === 1 ? q : 1 - q
        }
        likely[k] = p
        total += p
      }
      for (let j = 0; j < n; j++) {
        let share = 0
        for (const [k, s] of strings.entries()) if (s[j] === 1) share += (likely[k] as number) / total
        const at = 2 * (now[row * n + j] as number)
        out[row * n + j] = (before[at] as number) * (1 - share) + (before[at + 1] as number) * share
      }
    }
    return new NdArray(out, x.shape, 'f32')
  }
}

/** Strings of n bits with a 1 every fifth place, one for each phase. */
const heartbeats = (n: number) => [0, 1, 2, 3, 4].map((phase) => Array.from({ length: n }, (_, j) => (j % 5 === phase ? 1 : 0)))

test('bits: noise step by step and at once agree, and the posterior is Bayes’ rule', () => {
  const process = new BinomialDiffusion(7, 0.3)
  for (const bit of [0, 1]) {
    let one = bit
    for (let t = 1; t <= 7; t++) {
      one = one * (1 - process.beta(t)) + process.rate * process.beta(t)
      expect(process.marginal(bit, t)).toBeCloseTo(one, 12)
    }
    expect(process.marginal(bit, 7)).toBeCloseTo(0.3, 12)
    for (const t of [2, 5, 7]) {
      const now = process.marginal(bit, t)
      const both = now * process.posterior(1, bit, t) + (1 - now) * process.posterior(0, bit, t)
      expect(both).toBeCloseTo(process.marginal(bit, t - 1), 12)
    }
  }
})

test('10 bits: K is below the exact log-likelihood, summed over every path', async () => {
  const [n, steps] = [10, 20]
  const process = new BinomialDiffusion(steps, 0.2)
  const strings = heartbeats(n)
  const flip = oracle(process, strings)
  const states = NdArray.from(Array.from({ length: 2 ** n }, (_, s) => Array.from({ length: n }, (_, j) => (s >> j) & 1)))
  // The reverse chain's distribution over all 2^n states, from pure noise down.
  const spread = (p: Float32Array, row: number, out: Float64Array) => {
    out[0] = 1
    for (let j = 0; j < n; j++) {
      const one = p[row * n + j] as number
      for (let s = 0; s < 1 << j; s++) {
        const q = out[s] as number
        out[s + (1 << j)] = q * one
        out[s] = q * (1 - one)
      }
    }
  }
  const row = new Float64Array(2 ** n)
  spread(new Float32Array(n).fill(process.rate), 0, row)
  let chain = row.slice()
  for (let t = steps; t >= 1; t--) {
    const p = (t === 1 ? process.lastStep(states) : await flip(states, t)).data as Float32Array
    const next = new Float64Array(2 ** n)
    for (const [state, share] of chain.entries()) {
      spread(p, state, row)
      for (let to = 0; to < row.length; to++) next[to] = (next[to] as number) + share * (row[to] as number)
    }
    chain = next
  }
  const code = (s: readonly number[]) => s.reduce((sum, bit, j) => sum + bit * 2 ** j, 0)
  const exact = strings.reduce((sum, s) => sum + Math.log2(chain[code(s)] as number) / 5, 0)
  const data = NdArray.from(strings.flatMap((s) => new Array(200).fill(s)))
  const bound = (await process.bound(flip, data, new Generator(0))).mean().item()
  expect(bound).toBeLessThan(exact)
  expect(exact).toBeLessThan(Math.log2(1 / 5))
  expect(bound).toBeGreaterThan(exact - 1)
})

test('heartbeat, 20 bits and 2000 steps with the exact reverse: K ≥ −2.45 bits and at least 99% valid strings', async () => {
  const process = new BinomialDiffusion(2000, 0.2)
  const strings = heartbeats(20)
  const flip = oracle(process, strings)
  const data = NdArray.from(strings.flatMap((s) => new Array(3).fill(s)))
  const bound = (await process.bound(flip, data, new Generator(1))).mean().item()
  expect(bound).toBeGreaterThan(-2.45)
  expect(bound).toBeLessThan(-2.2)
  const sampling = process.sample(flip, 300, 20, new Generator(2))
  let step = await sampling.next()
  while (!step.done) step = await sampling.next()
  const valid = new Set(strings.map((s) => s.join('')))
  const rows = (step.value.toNested() as number[][]).filter((row) => valid.has(row.join('')))
  expect(rows.length / 300).toBeGreaterThanOrEqual(0.99)
  expect(new Set(rows.map((row) => row.indexOf(1))).size).toBe(5)
})

test('bits that are noise already: with their exact reverse K is −n, the cost of fair coins', async () => {
  const process = new BinomialDiffusion(30, 0.5)
  const data = new Generator(3).rand([2000, 8]).map((u) => (u < 0.5 ? 1 : 0))
  const flip: BitFlip = (x, t) => x.map((bit) => (bit === 1 ? 1 - process.beta(t) / 2 : process.beta(t) / 2))
  expect((await process.bound(flip, data, new Generator(4))).mean().item()).toBeCloseTo(-8, 1)
})

test.each(['uniform', 'absorbing'] as const)('%s tokens: transitions compose, and every row sums to 1', (kind) => {
  const process = new DiscreteDiffusion(kind, 4, evenBetas(9))
  for (const from of [0, 2])
    for (const to of [0, 1, 3]) {
      let sum = 0
      for (let middle = 0; middle < 4; middle++)
        sum += process.transition(from, middle, -1, 3) * process.transition(middle, to, 3, 6)
      expect(process.transition(from, to, -1, 6)).toBeCloseTo(sum, 12)
    }
  for (const from of [0, 3]) {
    const row = [0, 1, 2, 3].map((to) => process.transition(from, to, 2, 5))
    expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 12)
  }
  expect(process.addNoise(NdArray.from([[0, 1, 2]]), 8, new Generator(0)).shape).toEqual([1, 3])
  if (kind === 'absorbing')
    expect(process.addNoise(NdArray.from([[0, 1, 2]]), 8, new Generator(0)).data).toEqual(Float32Array.of(3, 3, 3))
})

test.each(['uniform', 'absorbing'] as const)(
  '%s tokens: the exact reverse samples the data’s own words, and the bound bounds',
  async (kind) => {
    // Three words of three tokens; with a mask the last token is it.
    const words = [
      [0, 1, 2],
      [2, 2, 0],
      [1, 0, 0],
    ]
    const shares = [0.5, 0.3, 0.2]
    const steps = 60
    const process = new DiscreteDiffusion(kind, 4, evenBetas(steps))
    const denoise = (x: NdArray, t: number) => {
      const out = NdArray.zeros([x.shape[0] as number, 3, 4])
      for (let row = 0; row < (x.shape[0] as number); row++) {
        const likely = words.map((word, w) =>
          word.reduce((p, token, j) => p * process.transition(token, Number(x.data[row * 3 + j]), -1, t), shares[w] as number),
        )
        const total = likely.reduce((a, b) => a + b, 0)
        for (const [w, word] of words.entries())
          for (const [j, token] of word.entries())
            out.data[(row * 3 + j) * 4 + token] = (out.data[(row * 3 + j) * 4 + token] as number) + (likely[w] as number) / total
      }
      return out
    }
    const sampling = process.sample(denoise, [600, 3], new Generator(5))
    let step = await sampling.next()
    while (!step.done) step = await sampling.next()
    const rows = (step.value.toNested() as number[][]).map((row) => row.join(''))
    for (const [w, word] of words.entries())
      expect(rows.filter((row) => row === word.join('')).length / 600).toBeCloseTo(shares[w] as number, 1)
    // Average over words and draws of the bound, against the entropy of the words.
    const generator = new Generator(6)
    let bound = 0
    for (const [w, word] of words.entries()) {
      const data = NdArray.from(new Array(40).fill(word))
      for (let t = 0; t < steps; t++) {
        const x = process.addNoise(data, t, generator)
        const p = denoise(x, t).data
        for (let i = 0; i < x.size; i++)
          bound +=
            ((shares[w] as number) *
              process.boundTerm(Number(x.data[i]), Number(data.data[i]), p.subarray(i * 4, i * 4 + 4) as Float32Array, t)) /
            40
      }
    }
    const entropyOfWords = -shares.reduce((sum, p) => sum + p * Math.log(p), 0)
    expect(bound).toBeGreaterThan(entropyOfWords - 0.05)
    expect(bound).toBeLessThan(entropyOfWords + 0.35)
  },
)

test('tokens are drawn with their probabilities; bad arguments are refused', () => {
  const drawn = drawTokens(NdArray.from([[1, 3]]).expand([4000, 2]), new Generator(7))
  expect(drawn.mean().item()).toBeCloseTo(0.75, 1)
  expect(() => new DiscreteDiffusion('uniform', 1, [0.5])).toThrow(ArgumentError)
  expect(() => new DiscreteDiffusion('uniform', 3, [0.5, 0])).toThrow('betas[1] is 0')
  expect(() => new BinomialDiffusion(1)).toThrow(ArgumentError)
})

test('shares that leave no way to an unmasked token leave it as it is', () => {
  const process = new DiscreteDiffusion('absorbing', 3, [0.5, 1])
  expect(process.reverse(0, [0, 1, 0], 0, 1)).toEqual([1, 0, 0])
  expect(process.reverse(2, [0.25, 0.75, 0], -1, 0)).toEqual([0.25, 0.75, 0])
})

test('masked by even steps, a term of the bound is the cross-entropy of masked tokens over t + 1', () => {
  // Austin et al. 2021, appendix A.3: D3PM with a mask is masked language modelling, weighted by time.
  const process = new DiscreteDiffusion('absorbing', 4, evenBetas(12))
  const shares = [0.2, 0.5, 0.3, 0]
  for (const t of [0, 1, 5, 11])
    for (const token of [0, 1, 2]) {
      expect(process.boundTerm(3, token, shares, t)).toBeCloseTo(-Math.log(shares[token] as number) / (t + 1), 10)
      expect(process.boundTerm(token, token, shares, t)).toBeCloseTo(0, 10)
    }
  expect(process.trainingTerm(3, 1, shares, 4, 0.5)).toBeCloseTo(-Math.log(0.5) * (1 / 5 + 0.5), 10)
})

test.each(['uniform', 'absorbing'] as const)(
  '%s: the exact denoiser’s bound of one token, every noise summed over, is the entropy, and another one’s is above by its divergence',
  (kind) => {
    // One token: the reverse of each step is exact, so that the bound is tight.
    const tokens = 4
    const truth = [0.6, 0.1, 0.3, 0]
    const boundOf = (process: DiscreteDiffusion, believed: readonly number[]) => {
      let sum = 0
      for (const [token, p] of truth.entries()) {
        if (p === 0) continue
        sum += p * process.priorTerm(token)
        for (let t = 0; t < process.steps; t++)
          for (let now = 0; now < tokens; now++) {
            const likely = believed.map((q, k) => q * process.transition(k, now, -1, t))
            const total = likely.reduce((a, b) => a + b, 0)
            const chance = process.transition(token, now, -1, t)
            if (chance > 0)
              sum +=
                p *
                chance *
                process.boundTerm(
                  now,
                  token,
                  likely.map((q) => q / total),
                  t,
                )
          }
      }
      return sum
    }
    const entropy = -truth.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0)
    const divergence = truth.reduce((sum, p, k) => sum + (p > 0 ? p * Math.log(p / [0.3, 0.3, 0.4, 0][k]!) : 0), 0)
    // The last step leaves no token its own, whatever the steps before: the bound does not depend on the schedule.
    for (const betas of [evenBetas(6), [0.5, 0.1, 0.7, 1], [1]]) {
      const process = new DiscreteDiffusion(kind, tokens, betas)
      expect(process.priorTerm(0)).toBeCloseTo(0, 10)
      expect(boundOf(process, truth)).toBeCloseTo(entropy, 9)
      expect(boundOf(process, [0.3, 0.3, 0.4, 0])).toBeCloseTo(entropy + divergence, 9)
    }
    expect(new DiscreteDiffusion(kind, tokens, [0.5, 0.5]).priorTerm(0)).toBeGreaterThan(0.05)
  },
)
