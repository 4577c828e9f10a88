import { ArgumentError } from '../core/errors.ts'
import { dims } from '../core/shape.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type PromptPart, type PromptSyntax, parsePrompt } from './emphasis.ts'
import type { ClipTokenizer } from './tokenizer.ts'

/** What a text encoder takes at once: numbers of tokens from start to padding, and the weight of each. */
export interface Chunk {
  readonly ids: readonly number[]
  readonly weights: readonly number[]
}

/** Tokens before a chunk's end among which the last comma parts it from the next, as in AUTOMATIC1111's web UI. */
const reach = 20

/**
 * A prompt of any length as chunks of the encoder's length, each with its own start and end; one at least. A chunk ends at BREAK,
 * at the last comma near its end, or where it is full.
 *
 * @throws PromptError
 */
export function chunkPrompt(
  tokenizer: ClipTokenizer,
  prompt: string | readonly PromptPart[],
  syntax: PromptSyntax = 'a1111',
): Chunk[] {
  const parts = typeof prompt === 'string' ? parsePrompt(prompt, syntax) : prompt
  const room = tokenizer.maxLength - 2
  const comma = tokenizer.idOf(',</w>')
  const chunks: Chunk[] = []
  let ids: number[] = []
  let weights: number[] = []
  let lastComma = -1
  const finish = (length = ids.length) => {
    chunks.push(framed(tokenizer, ids.slice(0, length), weights.slice(0, length)))
    ids = ids.slice(length)
    weights = weights.slice(length)
    lastComma = -1
  }
  for (const part of parts) {
    if (part.kind === 'break') {
      finish()
      continue
    }
    for (const id of tokenizer.encode(part.text)) {
      if (ids.length === room) finish(id !== comma && lastComma >= 0 && room - lastComma <= reach ? lastComma + 1 : room)
      if (id === comma) lastComma = ids.length
      ids.push(id)
      weights.push(part.weight)
    }
  }
  if (ids.length > 0 || chunks.length === 0) finish()
  return chunks
}

function framed(tokenizer: ClipTokenizer, ids: readonly number[], weights: readonly number[]): Chunk {
  const full = tokenizer.frame(ids)
  return { ids: full, weights: full.map((_, i) => weights[i - 1] ?? 1) }
}

/** Several prompts with as many chunks each, the shorter ones filled with empty chunks: guidance needs them of one length. */
export function equalChunks(tokenizer: ClipTokenizer, prompts: readonly (readonly Chunk[])[]): Chunk[][] {
  const most = Math.max(...prompts.map(({ length }) => length))
  const empty = framed(tokenizer, [], [])
  return prompts.map((chunks) => [...chunks, ...Array<Chunk>(most - chunks.length).fill(empty)])
}

/** The chunks' tokens for the encoder: i64 [chunks, N]. */
export function tokensOf(chunks: readonly Chunk[]): NdArray<'i64'> {
  const [first] = chunks
  if (!first) throw new ArgumentError('tokensOf: no chunks given')
  return new NdArray(
    BigInt64Array.from(
      chunks.flatMap(({ ids }) => [...ids]),
      BigInt,
    ),
    [chunks.length, first.ids.length],
    'i64',
  )
}

/**
 * How a weight acts on a token's state z. `scale`: z · w, then all so that the chunk's mean is as before (AUTOMATIC1111).
 * `interpolate`: e + w (z − e), e the state of an empty prompt at that place (ComfyUI; compel for weights above 1).
 */
export type WeightMode = { readonly kind: 'scale' } | { readonly kind: 'interpolate'; readonly empty: NdArray }

/**
 * The states of a prompt's chunks, weighted: f32 [chunks, N, D] → [1, chunks · N, D]. `empty` is [1, N, D].
 *
 * @throws ShapeError
 */
export function weighStates(states: NdArray, chunks: readonly Chunk[], mode: WeightMode): NdArray<'f32'> {
  const { C, N, D } = dims(states, 'C N D', { C: chunks.length })
  const z = states.cast('f32')
  const out = new Float32Array(z.size)
  const base = mode.kind === 'interpolate' ? mode.empty.cast('f32') : undefined
  if (base) dims(base, 'B N D', { B: 1, N, D })
  for (const [c, { weights }] of chunks.entries()) {
    const from = c * N * D
    const own = z.data.subarray(from, from + N * D)
    const plain = weights.every((w) => w === 1)
    const result = own.map((value, i) => {
      const weight = weights[Math.floor(i / D)] as number
      const centre = base ? (base.data[i] as number) : 0
      return weight === 1 ? value : centre + weight * (value - centre)
    })
    const factor = plain || base ? 1 : mean(own) / mean(result)
    for (let i = 0; i < N * D; i++) out[from + i] = (result[i] as number) * (Number.isFinite(factor) ? factor : 1)
  }
  return new NdArray(out, [1, C * N, D], 'f32')
}

const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length
