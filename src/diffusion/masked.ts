import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import { drawTokens } from './discrete.ts'
import { keepLikeliest, largest, softmax } from './shares.ts'

/** How text is masked over time: the share of tokens that are still their own, from 1 at t = 0 towards 0 at t = 1. */
export interface MaskSchedule {
  /** α(t), strictly falling. */
  kept(t: number): number
  /** −dα/dt. */
  rate(t: number): number
}

/** Shares never reach 0 nor times 1 exactly, as in the reference implementations. */
const EPSILON = 1e-3

/** Schedules of MDLM, SEDD and BD3-LM (noise_schedule.py of each): the name, and what it makes of t. */
export const maskSchedules = {
  /** α = 1 − t: the one that LLaDA, MDLM and BD3-LM train with; called so for σ = −ln(1 − t) (Lou et al. 2024). */
  loglinear: { kept: (t) => 1 - (1 - EPSILON) * t, rate: () => 1 - EPSILON },
  cosine: {
    kept: (t) => EPSILON + (1 - EPSILON) * Math.cos((t * Math.PI) / 2),
    rate: (t) => (1 - EPSILON) * (Math.PI / 2) * Math.sin((t * Math.PI) / 2),
  },
  /** α = 1 − t². */
  square: { kept: (t) => 1 - (1 - EPSILON) * t ** 2, rate: (t) => 2 * (1 - EPSILON) * t },
  /** α = exp(−σ), σ geometric from 10⁻⁴ to 20 (SEDD's default). */
  geometric: geometric(1e-4, 20),
} as const satisfies Record<string, MaskSchedule>
export type MaskScheduleName = keyof typeof maskSchedules

/** α = exp(−σ(t)), σ(t) = low^(1−t) high^t (Lou et al. 2024, section 5). */
export function geometric(low: number, high: number): MaskSchedule {
  const sigma = (t: number) => low ** (1 - t) * high ** t
  return {
    kept: (t) => Math.exp(-sigma(t)),
    rate: (t) => Math.exp(-sigma(t)) * sigma(t) * Math.log(high / low),
  }
}

/** Total noise σ(t) = −ln α(t): what the networks are told of time. */
export const totalNoise = (schedule: MaskSchedule, t: number): number => -Math.log(schedule.kept(t))

/**
 * What the cross-entropy of masked tokens at t weighs in the bound: −α′/(1 − α) (Sahoo et al. 2024, eq. 10; 1/t for `loglinear`, Nie et
 * al. 2025, eq. 3). Averaged over t, the weighted sum bounds −ln p of the text from above.
 */
export const boundWeight = (schedule: MaskSchedule, t: number): number => schedule.rate(t) / (1 - schedule.kept(t))

/**
 * Times of a batch, each uniform in [low, high], together evenly spread (Kingma et al. 2021, appendix I.1): the bound varies less from
 * batch to batch.
 */
export function spreadTimes(generator: Generator, count: number, low = EPSILON, high = 1): number[] {
  const start = generator.rand([1]).item()
  return Array.from({ length: count }, (_, i) => low + (high - low) * ((start + i / count) % 1))
}

/** tokens [B, N] with each one masked with probability 1 − `kept` of its row. */
export function maskTokens(tokens: NdArray, kept: readonly number[], mask: number, generator: Generator): NdArray<'f32'> {
  const [B, N] = tokens.shape as [number, number]
  if (kept.length !== B) throw new ArgumentError(`maskTokens: ${kept.length} shares for ${B} texts`)
  const u = generator.rand([B, N]).data
  return tokens.cast('f32').map((token, i) => ((u[i] as number) < (kept[Math.floor(i / N)] as number) ? token : mask))
}

/**
 * Which tokens stand where, [B, N, V], from a network's logits [B, N, V]: what is not masked stays, and the mask is never drawn (SUBS:
 * Sahoo et al. 2024, section 3.2.3). With a temperature other than 1 the logits of masked places are divided by it.
 */
export function cleanProbabilities(logits: NdArray, tokens: NdArray, mask: number, temperature = 1): NdArray<'f32'> {
  const V = logits.shape.at(-1) as number
  const { data } = logits.cast('f32')
  const out = NdArray.zeros(logits.shape, 'f32')
  const now = tokens.cast('f32').data
  for (let i = 0; i < now.length; i++) {
    const row = out.data.subarray(i * V, (i + 1) * V)
    if (now[i] !== mask) row[now[i] as number] = 1
    else {
      const own = data.slice(i * V, (i + 1) * V)
      own[mask] = Number.NEGATIVE_INFINITY
      row.set(softmax(own, temperature))
    }
  }
  return out
}

/** Keeps of each row the likeliest entries that together have `share` of it (Holtzman et al. 2020), the last one whole; not normalised. */
export function nucleus(probabilities: NdArray, share: number): NdArray<'f32'> {
  const all = probabilities.cast('f32')
  if (share >= 1) return all
  const V = all.shape.at(-1) as number
  const out = all.map((value) => value)
  for (let row = 0; row < out.data.length; row += V) keepLikeliest(out.data.subarray(row, row + V), { share })
  return out
}

/** The text of a step, [B, N], with `mask` where nothing is decided yet. */
export interface TextStep {
  readonly i: number
  readonly t: number
  readonly tokens: NdArray<'f32'>
}

/** p(x_0 | x_t), [B, N, V]: tokens [B, N] and the total noise σ at their time. */
export type TextDenoise = (tokens: NdArray<'f32'>, sigma: number) => Promise<NdArray> | NdArray

/** Draws one of V per row of shares [B, N, V] → [B, N]. */
export type Draw = (shares: NdArray) => NdArray

export interface AncestralUnmaskingOptions {
  readonly mask: number
  readonly schedule: MaskSchedule
  readonly steps: number
  /** How tokens are drawn; `drawTokens` of a generator unless given. */
  readonly generator?: Generator
  readonly draw?: Draw
}

/**
 * Ancestral sampling of masked diffusion (Sahoo et al. 2024, algorithm 2): from t to s a masked token stays so with probability
 * (1 − α_s)/(1 − α_t), and is drawn else. What is masked at the end takes its likeliest token. Tokens that `start` holds stay: infilling.
 */
export async function* ancestralUnmasking(
  denoise: TextDenoise,
  start: NdArray,
  { mask, schedule, steps, generator, draw }: AncestralUnmaskingOptions,
): AsyncGenerator<TextStep, NdArray<'f32'>, void> {
  if (!(Number.isInteger(steps) && steps > 0)) throw new ArgumentError(`steps: expected a positive integer, got ${steps}`)
  const choose = draw ?? drawerOf(generator, 'ancestralUnmasking')
  const end = 1e-5
  const times = Array.from({ length: steps + 1 }, (_, i) => 1 + ((end - 1) * i) / steps)
  let tokens = start.cast('f32')
  for (let i = 0; i < steps; i++) {
    const [t, s] = [times[i] as number, times[i + 1] as number]
    yield { i, t, tokens }
    const [masked, stays] = [1 - schedule.kept(t), 1 - schedule.kept(s)]
    const shares = (await denoise(tokens, totalNoise(schedule, t))).cast('f32').mul(masked - stays)
    const V = shares.shape.at(-1) as number
    for (let at = mask; at < shares.data.length; at += V) shares.data[at] = stays
    const drawn = choose(shares).cast('f32').data
    tokens = tokens.map((token, at) => (token === mask ? (drawn[at] as number) : token))
  }
  yield { i: steps, t: end, tokens }
  const left = (await denoise(tokens, totalNoise(schedule, end))).cast('f32')
  const likeliest = argmaxRows(left)
  return tokens.map((token, at) => (token === mask ? (likeliest[at] as number) : token))
}

/**
 * First-hitting sampling (Zheng et al. 2025; as BD3-LM samples a block): the times at which tokens are unmasked are drawn, and one token is
 * decided at each, so that there are as many calls as masked tokens. tokens [1, N].
 */
export async function* firstHitting(
  denoise: TextDenoise,
  start: NdArray,
  { mask, schedule, generator, draw }: Omit<AncestralUnmaskingOptions, 'steps' | 'generator'> & { readonly generator: Generator },
): AsyncGenerator<TextStep, NdArray<'f32'>, void> {
  const choose = draw ?? drawerOf(generator, 'firstHitting')
  let tokens = start.cast('f32')
  let t = 1
  for (let i = 0; ; i++) {
    const masked = [...tokens.data.keys()].filter((at) => tokens.data[at] === mask)
    if (masked.length === 0) return tokens
    t *= generator.rand([1]).item() ** (1 / masked.length)
    yield { i, t, tokens }
    const shares = await denoise(tokens, totalNoise(schedule, t))
    const drawn = choose(shares).cast('f32').data
    const decided = masked[Number(generator.randint(0, masked.length, [1]).data[0])] as number
    tokens = tokens.map((token, at) => (at === decided ? (drawn[at] as number) : token))
  }
}

export function drawerOf(generator: Generator | undefined, sampler: string): Draw {
  if (!generator) throw new ArgumentError(`${sampler}: tokens are drawn; pass { generator: new Generator(seed) }`)
  return (shares) => drawTokens(shares, generator)
}

/** The largest entry of each row [.., V]. */
export function argmaxRows(rows: NdArray): number[] {
  const { data, shape } = rows.cast('f32')
  const V = shape.at(-1) as number
  return Array.from({ length: data.length / V }, (_, row) => largest(data.subarray(row * V, (row + 1) * V)))
}
