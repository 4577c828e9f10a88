import { describe, expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../tests/fixture.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { finish } from './denoiser.ts'
import {
  ancestralUnmasking,
  boundWeight,
  cleanProbabilities,
  type Draw,
  firstHitting,
  maskSchedules,
  maskTokens,
  nucleus,
  spreadTimes,
  totalNoise,
} from './masked.ts'
import { perturbTokens, scoreEntropy, scoreSampling, scoresOf } from './score-entropy.ts'
import { unmasking } from './unmasking.ts'

const stored = fixture('text/samplers')
const [V, N] = [6, 5]
const mask = V - 1
const table = tensorOf(stored, 'table')

/** Logits that depend on the token of a place, the place and the level. */
const network = (tokens: NdArray, sigma: number | readonly number[]): NdArray<'f32'> => {
  const now = tokens.cast('f32').data
  const level = (i: number) => (typeof sigma === 'number' ? sigma : (sigma[Math.floor(i / N)] as number))
  const rows = Array.from(now, (token, i) => {
    const from = (token * N + (i % N)) * V
    return Array.from(table.data.subarray(from, from + V), (x) => x * (1 + 0.1 * level(i)))
  })
  return NdArray.from(rows).reshape([tokens.shape[0] as number, N, V])
}

/** Draws by stored uniform numbers, as the references do: argmax of p / −ln u. */
function storedDraws(name: string): Draw {
  const all = tensorOf(stored, name)
  let call = 0
  return (shares) => {
    const u = all.row(call++).data
    const { data } = shares.cast('f32')
    const marks = data.map((share, i) => share / (1e-10 - Math.log((u[i] as number) + 1e-10)))
    const chosen = Array.from({ length: data.length / V }, (_, row) => {
      const own = marks.subarray(row * V, (row + 1) * V)
      return own.indexOf(Math.max(...own))
    })
    return NdArray.from(chosen).reshape(shares.shape.slice(0, -1))
  }
}

const [clean, noisy] = [tensorOf(stored, 'clean'), tensorOf(stored, 'noisy')]
const times = [...tensorOf(stored, 'times').data]
const schedule = maskSchedules.loglinear

describe('as the reference implementations', () => {
  test('MDLM: the loss of stored masks, and a whole trajectory on stored draws', async () => {
    const sigmas = times.map((t) => totalNoise(schedule, t))
    const p = cleanProbabilities(network(noisy, sigmas), noisy, mask)
    const loss = clean.map((token, i) => {
      const share = p.data[i * V + token] as number
      return -Math.log(share) * boundWeight(schedule, times[Math.floor(i / N)] as number)
    })
    expect(maxDifference(loss, tensorOf(stored, 'mdlm.loss'))).toBeLessThan(1e-4)
    const denoise = (tokens: NdArray, sigma: number) => cleanProbabilities(network(tokens, sigma), tokens, mask)
    const start = NdArray.full([1, N], mask)
    const run = ancestralUnmasking(denoise, start, { mask, schedule, steps: 4, draw: storedDraws('mdlm.draws') })
    expect([...(await finish(run)).data]).toEqual([...tensorOf(stored, 'mdlm.tokens').data])
  })

  test.each(['absorb', 'uniform'] as const)('SEDD, %s: score entropy, and both predictors on stored draws', async (graph) => {
    const sigmas = times.map((t) => totalNoise(schedule, t))
    const dirty = tensorOf(stored, `sedd.${graph}.noisy`)
    const losses = sigmas.map((sigma, row) => {
      const of = (x: NdArray) => x.row(row).reshape([1, N])
      const scores = scoresOf(network(of(dirty), sigma), of(dirty), sigma, { scaled: false })
      return scoreEntropy(graph, scores, { noisy: of(dirty), clean: of(clean), sigma })
    })
    expect(maxDifference(NdArray.concat(losses), tensorOf(stored, `sedd.${graph}.loss`))).toBeLessThan(2e-4)
    const score = (tokens: NdArray<'f32'>, sigma: number) => scoresOf(network(tokens, sigma), tokens, sigma, { scaled: false })
    for (const predictor of ['analytic', 'euler'] as const) {
      const draw = storedDraws(`sedd.${graph}.${predictor}.draws`)
      const start = tensorOf(stored, `sedd.${graph}.start`)
      const end = await finish(scoreSampling(score, start, { graph, schedule, steps: 4, predictor, draw }))
      expect([...end.data]).toEqual([...tensorOf(stored, `sedd.${graph}.${predictor}.tokens`).data])
    }
  })
})

describe('laws', () => {
  /** Texts of two tokens that are always equal: 0 0 with 0.3, 1 1 with 0.7; the mask is 2. */
  const pair = (tokens: NdArray): NdArray<'f32'> => {
    const now = [...tokens.cast('f32').data]
    const known = now.find((token) => token !== 2)
    const row = known === undefined ? [0.3, 0.7, 0] : [known === 0 ? 1 : 0, known === 1 ? 1 : 0, 0]
    return NdArray.from(now.map((token) => (token === 2 ? row : [0, 1, 2].map((j) => (j === token ? 1 : 0))))).reshape([1, 2, 3])
  }

  test.each(Object.entries(maskSchedules))('%s: shares fall, rates are their slopes', (_, of) => {
    for (const t of [0.1, 0.4, 0.8]) {
      expect((of.kept(t - 1e-5) - of.kept(t + 1e-5)) / 2e-5 / of.rate(t)).toBeCloseTo(1, 4)
      expect(of.kept(t)).toBeLessThan(of.kept(t - 0.05))
    }
  })

  test('the bound of the true denoiser is the entropy of the texts, whatever the schedule', () => {
    const entropy = -(0.3 * Math.log(0.3) + 0.7 * Math.log(0.7))
    for (const of of [maskSchedules.loglinear, maskSchedules.cosine, maskSchedules.square]) {
      const generator = new Generator(1)
      let sum = 0
      const rounds = 4000
      for (const t of spreadTimes(generator, rounds)) {
        const text = generator.rand([1]).item() < 0.3 ? [0, 0] : [1, 1]
        const seen = maskTokens(NdArray.from([text]), [of.kept(t)], 2, generator)
        const p = pair(seen).data
        const errors = text.map((token, i) => (seen.data[i] === 2 ? -Math.log(p[i * 3 + token] as number) : 0))
        sum += boundWeight(of, t) * errors.reduce((a, b) => a + b, 0)
      }
      expect(Math.abs(sum / rounds - entropy)).toBeLessThan(0.06)
    }
  })

  test('samplers that decide one token at a time draw texts of the right kind, as often as they are', async () => {
    const generator = new Generator(3)
    let ones = 0
    for (let k = 0; k < 400; k++) {
      const start = NdArray.full([1, 2], 2)
      const text = [...(await finish(firstHitting(pair, start, { mask: 2, schedule, generator }))).data]
      expect(text[0]).toBe(text[1])
      ones += text[0] as number
    }
    expect(ones / 400).toBeGreaterThan(0.62)
    expect(ones / 400).toBeLessThan(0.78)
  })

  test('the true scores have the least score entropy', () => {
    const sigma = 0.7
    const x = NdArray.from([[2, 2]])
    const y = NdArray.from([[1, 1]])
    const ratio = 1 / Math.expm1(sigma)
    const scores = (share: number) => NdArray.from([0, 1].map(() => [(1 - share) * ratio, share * ratio, 1])).reshape([1, 2, 3])
    const expected = (share: number) =>
      [0.3, 0.7].reduce((sum, p, token) => {
        const of = scoreEntropy('absorb', scores(share), { noisy: x, clean: token === 1 ? y : NdArray.from([[0, 0]]), sigma })
        return sum + p * of.sum().item()
      }, 0)
    for (const share of [0.5, 0.6, 0.8, 0.9]) expect(expected(0.7)).toBeLessThan(expected(share))
  })

  test('what is perturbed into the mask or any token, in the right share', () => {
    const generator = new Generator(5)
    const tokens = NdArray.zeros([1, 4000], 'f32')
    const masked = perturbTokens('absorb', tokens, [0.5], { vocabulary: 4, generator })
    const share = (x: NdArray, token: number) => [...(x.data as Float32Array)].filter((one) => one === token).length / 4000
    expect(share(masked, 3)).toBeCloseTo(1 - Math.exp(-0.5), 1)
    const any = perturbTokens('uniform', tokens, [0.5], { vocabulary: 4, generator })
    for (const token of [1, 2, 3]) expect(share(any, token)).toBeCloseTo((1 - Math.exp(-0.5)) / 4, 1)
  })

  test('the nucleus keeps the likeliest, and the one that fills the share', () => {
    expect([...nucleus(NdArray.from([[0.1, 0.5, 0.4]]), 0.6).data]).toEqual([0, 0.5, expect.closeTo(0.4)])
    expect([...nucleus(NdArray.from([[0.1, 0.5, 0.4]]), 0.4).data]).toEqual([0, 0.5, 0])
  })
})

describe('unmasking', () => {
  const start = new NdArray(BigInt64Array.of(4n, 5n, 5n, 5n, 5n), [1, N], 'i64')
  const logits = (tokens: NdArray<'i64'>) => network(tokens, 0)

  test('a threshold decides several tokens a step, and none leaves all to the count', async () => {
    const count = async (threshold?: number) => {
      let steps = 0
      const of = { mask, steps: 4, never: [mask], ...(threshold !== undefined && { threshold }) }
      const end = await finish(unmasking(logits, start, of), () => steps++)
      expect([...end.data].map(Number)).not.toContain(mask)
      expect(Number(end.data[0])).toBe(4)
      return steps
    }
    expect(await count()).toBe(4)
    expect(await count(0)).toBe(1)
  })

  test('the same seed writes the same, and chance is asked for', async () => {
    const run = (seed?: number) =>
      finish(
        unmasking(logits, start, {
          mask,
          steps: 2,
          order: 'random',
          temperature: 1,
          ...(seed !== undefined && { generator: new Generator(seed) }),
        }),
      )
    expect([...(await run(1)).data]).toEqual([...(await run(1)).data])
    await expect(run()).rejects.toThrow(/generator/)
    await expect(finish(unmasking(logits, start, { mask, steps: 3, block: 2 }))).rejects.toThrow(
      /3 do not go round over 2 blocks/,
    )
  })
})
