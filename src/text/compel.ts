import { ArgumentError, ShapeError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type PromptPart, parsePrompt } from './emphasis.ts'
import { checkLength, PromptError } from './errors.ts'
import type { ClipTokenizer } from './tokenizer.ts'

/** One of several prompts with its weight. */
export interface CompelItem {
  readonly weight: number
  readonly parts: readonly PromptPart[]
}

/**
 * What compel's syntax says: runs with weights; `("a", "b").blend(0.7, 0.3)`, states mixed in these shares (of their sum, unless
 * `no_normalize` stands at the end); `("a", "b").and(1, 0.5)`, states one behind the other.
 */
export type CompelPrompt =
  | { readonly kind: 'runs'; readonly parts: readonly PromptPart[] }
  | { readonly kind: 'blend'; readonly items: readonly CompelItem[]; readonly normalise: boolean }
  | { readonly kind: 'and'; readonly items: readonly CompelItem[] }

const operator = /^\s*\(([\s\S]*)\)\s*\.(blend|and|add)\s*\(([^()]*)\)\s*$/

/**
 * A prompt in compel's syntax.
 *
 * @throws PromptError for a blend whose weights are not as many as its prompts, are no numbers, or add up to nothing
 */
export function parseCompel(text: string): CompelPrompt {
  checkLength(text)
  const found = operator.exec(text)
  const prompts = found && quoted(found[1] as string)
  if (!found || !prompts) return { kind: 'runs', parts: parsePrompt(text, 'compel') }
  const [, , name, given] = found as unknown as [string, string, string, string]
  const words = given.split(',').flatMap((word) => word.trim() || [])
  const raw = words.at(-1) === 'no_normalize' ? words.slice(0, -1) : words
  const weights = raw.length === 0 ? prompts.map(() => 1) : raw.map(Number)
  const place = `.${name}(${given})`
  if (weights.some((weight) => !Number.isFinite(weight)))
    throw new PromptError(`${place}: expected numbers, one for each prompt, as .blend(0.7, 0.3)`)
  if (weights.length !== prompts.length)
    throw new PromptError(`${place}: ${weights.length} weights for ${prompts.length} prompts; give one each, or none`)
  const items = prompts.map((one, i) => ({ weight: weights[i] as number, parts: parsePrompt(one, 'compel') }))
  if (name !== 'blend') return { kind: 'and', items }
  const normalise = raw === words
  if (normalise && Math.abs(weights.reduce((sum, weight) => sum + weight, 0)) < 1e-6)
    throw new PromptError(`${place}: the weights add up to 0, so that they are no shares; add no_normalize, or change them`)
  return { kind: 'blend', items, normalise }
}

/** The texts of `"a", "b \"c\"", …`, or undefined for anything else. */
function quoted(list: string): string[] | undefined {
  const out: string[] = []
  const one = /\s*"((?:[^"\\]|\\[\s\S])*)"\s*(,|$)/y
  while (one.lastIndex < list.length || out.length === 0) {
    const match = one.exec(list)
    if (!match) return undefined
    out.push((match[1] as string).replaceAll('\\"', '"'))
    if (match[2] === '') return out
  }
  return undefined
}

/** Texts as an encoder takes them: numbers of tokens, and for each whether the others may attend to it. */
export interface MaskedChunk {
  readonly ids: readonly number[]
  readonly mask: readonly boolean[]
}

/**
 * The states of runs as compel weighs them: a token's state lies on the line from the empty prompt's through its own, at its weight;
 * with a run of weight w < 1 the whole lies between these states and those in which nobody attends to the run, in shares 1 and
 * tan((1 − w) π/2), so that at 0 the run is gone.
 *
 * @param encode texts to their states, f32 [texts, N, D]
 * @returns f32 [1, chunks · N, D]
 */
export async function compelStates(
  tokenizer: ClipTokenizer,
  parts: readonly PromptPart[],
  encode: (chunks: readonly MaskedChunk[]) => Promise<NdArray>,
): Promise<NdArray<'f32'>> {
  const room = tokenizer.maxLength - 2
  const runs = parts.flatMap((part) => (part.kind === 'text' ? [{ ids: tokenizer.encode(part.text), weight: part.weight }] : []))
  const ids = runs.flatMap((run) => run.ids)
  const runOf = runs.flatMap((run, r) => run.ids.map(() => r))
  const count = Math.max(1, Math.ceil(ids.length / room))
  const chunks = Array.from({ length: count }, (_, c) => tokenizer.frame(ids.slice(c * room, (c + 1) * room)))
  /** The run of each token of a chunk, −1 for the frame. */
  const owners = chunks.map((chunk, c) => chunk.map((_, i) => (i === 0 || i > room ? -1 : (runOf[c * room + i - 1] ?? -1))))
  const weights = owners.map((row) => row.map((r) => (r < 0 ? 1 : (runs[r] as { weight: number }).weight)))
  const weak = runs.flatMap(({ weight, ids: own }, r) => (weight < 1 && own.length > 0 ? [r] : []))
  const texts = [undefined, ...weak].flatMap((without) =>
    chunks.map((chunk, c) => ({ ids: chunk, mask: (owners[c] as number[]).map((r) => r < 0 || r !== without) })),
  )
  const empty = tokenizer.frame([])
  const states = (await encode([{ ids: empty, mask: empty.map(() => true) }, ...texts])).cast('f32')
  const [total, N, D] = states.shape as [number, number, number]
  if (total !== texts.length + 1)
    throw new ShapeError(`compelStates: ${texts.length + 1} texts gave states of [${states.shape.join(', ')}]`)
  const shares = [1, ...weak.map((r) => Math.tan(((1 - Math.max(1e-5, (runs[r] as { weight: number }).weight)) * Math.PI) / 2))]
  const sum = shares.reduce((a, b) => a + b, 0)
  const out = new Float32Array(count * N * D)
  for (const [v, share] of shares.entries())
    for (let c = 0; c < count; c++)
      for (let n = 0; n < N; n++)
        for (let d = 0; d < D; d++) {
          const base = states.data[n * D + d] as number
          const own = states.data[((1 + v * count + c) * N + n) * D + d] as number
          out[(c * N + n) * D + d]! += (share / sum) * (base + (own - base) * (weights[c]?.[n] ?? 1))
        }
  return new NdArray(out, [1, count * N, D], 'f32')
}

/**
 * States of several prompts as one: for `blend` their mixture, the shorter filled with the empty prompt's states; for `and` one behind
 * the other, each times its weight.
 *
 * @param states f32 [1, M, D] each
 * @param empty f32 [1, N, D], of one chunk
 */
export function combineStates(
  prompt: CompelPrompt & { readonly kind: 'blend' | 'and' },
  states: readonly NdArray<'f32'>[],
  empty: NdArray<'f32'>,
): NdArray<'f32'> {
  if (states.length !== prompt.items.length)
    throw new ArgumentError(`combineStates: ${states.length} states for ${prompt.items.length} prompts`)
  const weights = prompt.items.map(({ weight }) => weight)
  if (prompt.kind === 'and')
    return NdArray.concat(
      states.map((one, i) => one.mul(weights[i] as number)),
      1,
    )
  const most = Math.max(...states.map(({ shape }) => shape[1] as number))
  const fill = (one: NdArray<'f32'>): NdArray<'f32'> =>
    (one.shape[1] as number) < most ? fill(NdArray.concat([one, empty], 1)) : one
  const sum = prompt.normalise ? weights.reduce((a, b) => a + b, 0) : 1
  return states.map((one, i) => fill(one).mul((weights[i] as number) / sum)).reduce((a, b) => a.add(b))
}
