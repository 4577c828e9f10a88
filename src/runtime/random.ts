import { ArgumentError } from '../core/errors.ts'
import { NdArray } from './ndarray.ts'

const N = 624
const M = 397

/** A generator's whole state, as JSON can hold it. */
export interface GeneratorState {
  readonly seed: string
  readonly words: readonly number[]
  readonly next: number
  readonly spare: number | null
}

/**
 * PyTorch's CPU generator: the same seed gives the same numbers as `torch.Generator().manual_seed(seed)`, call for call.
 * MT19937 (Matsumoto and Nishimura 1998) seeded with the low 32 bits; a uniform keeps 24 bits; normals by Box and Muller
 * in blocks of 16, with the single-precision polynomials that PyTorch's AVX2 kernel takes from Cephes.
 */
export class Generator {
  readonly seed: bigint
  private readonly words = new Uint32Array(N)
  private next = N
  private spare: number | null = null

  /** Any integer from −2^63 to 2^64 − 1. */
  constructor(seed: number | bigint) {
    if (typeof seed === 'number' && !Number.isSafeInteger(seed))
      throw new ArgumentError(`Generator: expected a whole number as seed, got ${seed}`)
    this.seed = BigInt(seed)
    if (this.seed < -(2n ** 63n) || this.seed >= 2n ** 64n)
      throw new ArgumentError(`Generator: seed ${seed} is outside −2^63 … 2^64 − 1`)
    this.words[0] = Number(BigInt.asUintN(32, this.seed))
    for (let i = 1; i < N; i++) {
      const before = this.words[i - 1] as number
      this.words[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i
    }
  }

  /** The generator that `save` described: it goes on where that one stood. */
  static restore(state: GeneratorState): Generator {
    const generator = new Generator(BigInt(state.seed))
    if (state.words.length !== N || !(state.next >= 0 && state.next <= N))
      throw new ArgumentError(
        `Generator.restore: expected ${N} words and 0 ≤ next ≤ ${N}, got ${state.words.length}, ${state.next}`,
      )
    generator.words.set(state.words)
    generator.next = state.next
    generator.spare = state.spare
    return generator
  }

  save(): GeneratorState {
    return { seed: String(this.seed), words: [...this.words], next: this.next, spare: this.spare }
  }

  /** An independent generator for a numbered or named purpose; nothing is drawn from this one. */
  fork(key: number | string): Generator {
    let hash = BigInt.asUintN(64, this.seed)
    for (const char of `${typeof key}:${key}`) {
      hash = BigInt.asUintN(64, hash + BigInt(char.codePointAt(0) as number) + 0x9e3779b97f4a7c15n)
      hash = BigInt.asUintN(64, (hash ^ (hash >> 30n)) * 0xbf58476d1ce4e5b9n)
      hash = BigInt.asUintN(64, (hash ^ (hash >> 27n)) * 0x94d049bb133111ebn)
      hash ^= hash >> 31n
    }
    return new Generator(hash)
  }

  /** 32 random bits. */
  bits(): number {
    if (this.next === N) this.twist()
    let y = this.words[this.next++] as number
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }

  /** Uniform in [0, 1). */
  rand(shape: readonly number[]): NdArray<'f32'> {
    const out = NdArray.zeros(shape)
    for (let i = 0; i < out.size; i++) out.data[i] = this.uniform()
    return out
  }

  /** Standard normal. */
  randn(shape: readonly number[]): NdArray<'f32'> {
    const out = NdArray.zeros(shape)
    const { data, size } = out
    if (size < 16) {
      for (let i = 0; i < size; i++) data[i] = this.normal()
      return out
    }
    for (let i = 0; i < size; i++) data[i] = this.uniform()
    for (let i = 0; i + 16 <= size; i += 16) boxMuller(data, i)
    if (size % 16 !== 0) {
      for (let i = size - 16; i < size; i++) data[i] = this.uniform()
      boxMuller(data, size - 16)
    }
    return out
  }

  /** Whole numbers from `low` up to, not including, `high`. */
  randint(low: number, high: number, shape: readonly number[]): NdArray<'i64'> {
    const range = high - low
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || !(range > 0))
      throw new ArgumentError(`randint: expected whole numbers low < high, got ${low} and ${high}`)
    const out = NdArray.zeros(shape, 'i64')
    for (let i = 0; i < out.size; i++)
      out.data[i] =
        range >= 2 ** 28
          ? (((BigInt(this.bits()) << 32n) | BigInt(this.bits())) % BigInt(range)) + BigInt(low)
          : BigInt((this.bits() % range) + low)
    return out
  }

  /** 0 … n − 1 in random order. */
  randperm(n: number): Uint32Array {
    const out = Uint32Array.from({ length: n }, (_, i) => i)
    for (let i = 0; i < n - 1; i++) {
      const j = i + (this.bits() % (n - i))
      const held = out[i] as number
      out[i] = out[j] as number
      out[j] = held
    }
    return out
  }

  private uniform(): number {
    return (this.bits() & 0xffffff) * 2 ** -24
  }

  private uniform53(): number {
    const high = this.bits()
    return ((high & 0x1fffff) * 2 ** 32 + this.bits()) * 2 ** -53
  }

  /** One normal in float64; its twin waits for the next call, whatever is drawn in between. */
  private normal(): number {
    if (this.spare !== null) {
      const spare = this.spare
      this.spare = null
      return spare
    }
    const theta = 2 * Math.PI * this.uniform53()
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniform53()))
    this.spare = radius * Math.sin(theta)
    return radius * Math.cos(theta)
  }

  private twist(): void {
    const w = this.words
    for (let i = 0; i < N; i++) {
      const y = ((w[i] as number) & 0x80000000) | ((w[(i + 1) % N] as number) & 0x7fffffff)
      w[i] = (w[(i + M) % N] as number) ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
    }
    this.next = 0
  }
}

const fround = Math.fround
/** a·b + c rounded once to float32 (the product is exact in float64). */
const fma = (a: number, b: number, c: number) => fround(a * b + c)
const polynomial = (x: number, coefficients: readonly number[]) => {
  let y = coefficients[0] as number
  for (let i = 1; i < coefficients.length; i++) y = fma(y, x, coefficients[i] as number)
  return y
}
const floats = (values: readonly number[]): readonly number[] => values.map(fround)

const logTerms = floats([
  7.037683629e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
  -2.4999993993e-1, 3.3333331174e-1,
])
const cosTerms = floats([2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2])
const sinTerms = floats([-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1])
const [log2Low, log2High] = floats([-2.1219444e-4, 0.693359375]) as [number, number]
const [turn, octants] = floats([2 * Math.PI, 4 / Math.PI]) as [number, number]
const quarters = floats([-0.78515625, -2.4187564849853516e-4, -3.774894977445941e-8])
const word = new Uint32Array(1)
const float = new Float32Array(word.buffer)

/** Natural logarithm of 2^-24 ≤ x ≤ 1 in float32 (Cephes logf). */
function logf(x: number): number {
  float[0] = x
  let e = ((word[0] as number) >>> 23) - 126
  word[0] = ((word[0] as number) & 0x7fffff) | 0x3f000000
  let m = float[0] as number
  if (m < fround(Math.SQRT1_2)) {
    e -= 1
    m = fround(fround(m - 1) + m)
  } else m = fround(m - 1)
  const z = fround(m * m)
  const y = fma(-0.5, z, fma(fround(polynomial(m, logTerms) * m), z, fround(e * log2Low)))
  return fma(e, log2High, fround(m + y))
}

/** Turns 16 uniforms from `at` on into normals: element j with j + 8 gives radius·cos and radius·sin. */
function boxMuller(data: Float32Array, at: number): void {
  for (let j = at; j < at + 8; j++) {
    const radius = fround(Math.sqrt(fround(-2 * logf(fround(1 - (data[j] as number))))))
    const theta = fround(turn * (data[j + 8] as number))
    const octant = (Math.trunc(fround(theta * octants)) + 1) & ~1
    const x = quarters.reduce((rest, part) => fma(octant, part, rest), theta)
    const z = fround(x * x)
    const cosine = fround(fma(fround(polynomial(z, cosTerms) * z), z, -0.5 * z) + 1)
    const sine = fma(fround(polynomial(z, sinTerms) * z), x, x)
    const [c, s] = octant & 2 ? [sine, cosine] : [cosine, sine]
    data[j] = radius * ((octant - 2) & 4 ? c : -c)
    data[j + 8] = radius * (octant & 4 ? -s : s)
  }
}
