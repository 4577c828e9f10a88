import { range } from '../../core/shape.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { chooseTokens, type DalleConfig, dalle, lengthsOf, type TokenChoice, textInput } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { Generator } from '../../runtime/random.ts'
import type { Network } from '../open/network.ts'
import { parts } from '../options.ts'
import { turns } from '../parts/turns.ts'
import { type Kept, keptOf } from './kept.ts'

export interface TokenRun extends TokenChoice {
  /** The text of each picture, as `textInput` gives it. */
  readonly texts: readonly (readonly number[])[]
  /** Logits are those without a text and so many times the way to the text's. */
  readonly guidance: number
  /** Picture k chooses by the random numbers of `seed + k`. */
  readonly seed: number
  /** The first tokens of every picture, which are given. */
  readonly begin?: readonly number[] | undefined
  readonly signal?: AbortSignal | undefined
}

/** Tokens so far of the pictures from `first` on, i64 [pictures, tokens]; calls of the network, of so many. */
export interface TokenStep {
  readonly first: number
  readonly i: number
  readonly done: number
  readonly total: number
  readonly tokens: NdArray<'i64'>
}

/** Bytes that keys and values of pictures that are sampled together may take. */
const MOST_KEPT = 2 ** 30

/** A transformer of text and image tokens at work. */
export interface TokenSampler {
  readonly config: DalleConfig
  /** Samples all pictures together, as many as memory allows: i64 [pictures, tokens]. */
  sample(run: TokenRun): AsyncGenerator<TokenStep, NdArray<'i64'>, void>
  release(): Promise<void>
}

const integers = (values: readonly number[], shape: readonly number[]) =>
  new NdArray(BigInt64Array.from(values, BigInt), shape, 'i64')

/** What is kept of a program's tokens, by the names that `keptOf` reads. */
const named = (what: string, tensors: readonly Tensor[]) => tensors.map((tensor, i) => [`new ${what} ${i}`, tensor] as const)

/** A checkpoint's transformer at work: a program for the text, and one for a token of so many sequences, whose past is kept on the host. */
export function tokenSampler({ config, weights }: Network<DalleConfig>, options: CompileOptions): TokenSampler {
  const { text: words, image: cells, inputs } = lengthsOf(config)
  const { heads, dim_head: width, dim, depth, shift_tokens } = config
  const turn = turns()
  const branches = range(shift_tokens ? 2 * depth : 0)
  const programs = new Programs((key: string) => {
    const [way, rows] = key.split(' ') as [string, string]
    const B = Number(rows)
    const network = dalle(new Params(), config)
    const whole = way === 'text'
    const output = whole
      ? network.whole(input('text', [B, words], 'i64'))
      : network.step(input('token', [B], 'i64'), input('at', [1], 'i64'), {
          keys: range(depth).map((i) => input(`keys ${i}`, [B, heads, inputs, width])),
          values: range(depth).map((i) => input(`values ${i}`, [B, heads, inputs, width])),
          shifts: branches.map((i) => input(`shifts ${i}`, [B, 1, dim / 2])),
        })
    const { hidden, remembered } = output
    const logits = network.imageLogits(whole ? hidden.slice(1, words - 1) : hidden)
    const shifts = whole ? [] : named('shifts', remembered.shifts)
    const all = [...named('keys', remembered.keys), ...named('values', remembered.values), ...shifts]
    return compile({ outputs: { logits, ...Object.fromEntries(all) }, weights }, options)
  }, 2)
  const together = Math.max(1, Math.floor(MOST_KEPT / (8 * depth * heads * width * inputs)))

  /** The logits of the next token, [pictures, codes]. */
  const guided = (logits: NdArray<'f32'>, guidance: number): NdArray<'f32'> => {
    const flat = logits.reshape([logits.shape[0] as number, -1])
    if (guidance === 1) return flat
    const half = (flat.shape[0] as number) / 2
    const [without, told] = [flat.slice(0, 0, half), flat.slice(0, half)]
    return without.add(told.sub(without).mul(guidance))
  }

  /** Pictures of these texts, all at once: the first chooses by the random numbers of `seed`. */
  async function* part(run: TokenRun, texts: TokenRun['texts'], seed: number): AsyncGenerator<number[][], void, void> {
    const { guidance, signal, begin = [] } = run
    const generators = texts.map((_, k) => new Generator(seed + k))
    const nothing = textInput([], config)
    const asked = guidance === 1 ? texts : [...texts.map(() => nothing), ...texts]
    // Many rows share a text, which is read once.
    const known = new Map(asked.map((text) => [text.join(' '), text]))
    const entries = [...known.keys()]
    const entryOf = asked.map((text) => entries.indexOf(text.join(' ')))
    const start = await turn(async () => {
      const program = await programs.get(`text ${entries.length}`)
      return program.run({ text: integers([...known.values()].flat(), [entries.length, words]) })
    })
    const kept: Kept = keptOf(config, start, entryOf)
    let logits = guided(
      NdArray.concat(entryOf.map((entry) => start.logits?.slice(0, entry, entry + 1) as NdArray<'f32'>)),
      guidance,
    )
    const tokens: number[][] = texts.map(() => [])
    for (let i = 0; i < cells; i++) {
      signal?.throwIfAborted()
      const uniform = NdArray.concat(generators.map((generator) => generator.rand([1, config.num_image_tokens])))
      const given = begin[i]
      const chosen = given === undefined ? chooseTokens(logits, uniform, run) : tokens.map(() => given)
      for (const [k, token] of chosen.entries()) tokens[k]?.push(token)
      yield tokens
      if (i === cells - 1) return
      const all = guidance === 1 ? chosen : [...chosen, ...chosen]
      const found = await turn(async () => {
        const program = await programs.get(`step ${all.length}`)
        return program.run({ token: integers(all, [all.length]), at: integers([i], [1]), ...kept.feeds(i) })
      })
      kept.keep(found, i)
      logits = guided(found.logits as NdArray<'f32'>, guidance)
    }
  }

  return {
    config,
    async *sample(run) {
      const each = Math.max(1, Math.floor(together / (run.guidance === 1 ? 1 : 2)))
      const groups = parts(run.texts.length, each)
      const found: NdArray<'i64'>[] = []
      for (const [k, [first, end]] of groups.entries()) {
        const soFar = (tokens: readonly (readonly number[])[]) => integers(tokens.flat(), [end - first, tokens[0]?.length ?? 0])
        let i = 0
        let last: NdArray<'i64'> | undefined
        for await (const tokens of part(run, run.texts.slice(first, end), run.seed + first)) {
          last = soFar(tokens)
          yield { first, i, done: k * cells + ++i, total: groups.length * cells, tokens: last }
        }
        found.push(last as NdArray<'i64'>)
      }
      return NdArray.concat(found)
    },
    release: () => turn(() => programs.release()),
  }
}
