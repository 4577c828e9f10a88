import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import {
  type Chunk,
  type CompelPrompt,
  chunkPrompt,
  combineStates,
  compelStates,
  equalChunks,
  type PromptBranch,
  type PromptPart,
  type PromptSyntax,
  planPrompt,
} from '../../text/index.ts'
import { type EncodedText, type TextLayer, textEncoder, type WorkingTextEncoder } from '../parts/text-encoder.ts'
import type { Components } from './components.ts'

/** What a U-Net is conditioned on by a text. */
export interface Condition {
  /** f32 [1, M, D]. */
  readonly context: NdArray<'f32'>
  /** XL: the second encoder's pooled text, f32 [1, P]. */
  readonly pooled?: NdArray<'f32'> | undefined
}

export interface PromptOptions {
  readonly prompt: string
  readonly negative?: string | undefined
  /** XL: what the second encoder reads instead. */
  readonly prompt2?: string | undefined
  readonly negative2?: string | undefined
  /** Prompts of parts of the picture, which stand behind the prompt's own conditions. */
  readonly regions?: readonly string[] | undefined
  /** Whether the negative prompt counts. */
  readonly guided: boolean
  /** Layers left out at the end; 0 as published. */
  readonly clipSkip?: number | undefined
  readonly syntax: PromptSyntax
  /** Calls of the network over which a prompt may change. */
  readonly calls: number
}

/** The conditions from one call of the network on. */
export interface Moment {
  readonly from: number
  readonly negative: Condition | undefined
  /** One for each prompt that acts: several where AND joins them. */
  readonly positive: readonly Condition[]
}

export interface EncodedPrompts {
  /** At least one, the first from call 0 on; conditions of all are of equal length. */
  readonly moments: readonly Moment[]
  /** How strongly each of `positive` acts, but for those of regions. */
  readonly weights: readonly number[]
}

export interface Prompts {
  /** @throws PromptError, ArgumentError for a negative prompt with AND or a LoRA, and for second prompts of other parts */
  encode(options: PromptOptions): Promise<EncodedPrompts>
  release(): Promise<void>
}

/** One text, in what every encoder reads of it. */
interface Slot {
  readonly branches: readonly PromptBranch[]
  readonly layer: TextLayer
}

/** Texts to conditions, as diffusers' `encode_prompt` does for Stable Diffusion 1 and 2 and for XL. */
export function prompts({ text, options }: Components, xl: boolean, compileOptions: CompileOptions): Prompts {
  const encoders = text.map((encoder) => textEncoder(encoder, compileOptions))
  const layerOf = (skip: number): TextLayer => (xl ? { skip: 1 + skip, norm: false } : { skip, norm: true })

  return {
    async encode({
      prompt,
      negative,
      prompt2 = prompt,
      negative2 = negative,
      regions = [],
      guided,
      clipSkip = 0,
      syntax,
      calls,
    }) {
      const second = text.map(({ name }) => name === 'text_encoder_2')
      const plans = second.map((two) => planPrompt(two ? prompt2 : prompt, { syntax }).branches)
      const weights = (plans[0] as readonly PromptBranch[]).map(({ weight }) => weight)
      if (plans.some((branches) => branches.length !== weights.length))
        throw new ArgumentError('prompt2: it has another number of parts between AND than prompt: give it as many')
      // In diffusers only the prompt skips layers.
      const layer = layerOf(clipSkip)
      const positive = [
        ...weights.map((_, k) => ({ branches: plans.map((branches) => branches[k] as PromptBranch), layer })),
        ...regions.map((region, k) => {
          const branch = oneBranch(`regions.${k}`, region, syntax)
          return { branches: second.map(() => branch), layer }
        }),
      ]
      // Prompts that AND joins act by their differences from the negative one.
      const against = second.map((two) => oneBranch('negative', (two ? negative2 : negative) ?? '', syntax))
      const slots: Slot[] = [...(guided || weights.length > 1 ? [{ branches: against, layer: layerOf(0) }] : []), ...positive]
      const zeros = xl && negative === undefined && options.force_zeros_for_empty_prompt !== false
      const moments: Moment[] = []
      const times = changes(slots, calls)
      const texts = encoders.map((_, e) =>
        times.map((time) =>
          slots.map(({ branches, layer }): Text => {
            const branch = branches[e] as PromptBranch
            return { parts: branch.at(time, calls), compel: branch.compel, layer }
          }),
        ),
      )
      const each = syntax === 'compel' ? await compelled(encoders, texts) : await chunked(encoders, texts, syntax)
      for (const [m, from] of times.entries()) {
        const found = slots.map((_, s) =>
          joined(
            each.map((of) => of[m]?.[s] as EncodedText),
            xl,
          ),
        )
        const none = slots.length > positive.length ? found.shift() : undefined
        moments.push({ from, negative: none && zeros ? emptied(none) : none, positive: found })
      }
      return { moments, weights }
    },
    async release() {
      for (const encoder of encoders) await encoder.release()
    },
  }
}

/** A prompt that is one text: the negative one, or a region's. */
function oneBranch(name: string, text: string, syntax: PromptSyntax): PromptBranch {
  const { branches, loras } = planPrompt(text, { syntax })
  if (branches.length > 1) throw new ArgumentError(`${name}: AND joins prompts of the whole picture; this is one text`)
  if (loras.length > 0)
    throw new ArgumentError(`${name}: a LoRA acts on all of the picture: name ${loras[0]?.name} in the prompt`)
  return branches[0] as PromptBranch
}

/** The calls at which something of the texts changes, the first among them. */
function changes(slots: readonly Slot[], calls: number): number[] {
  const branches = slots.flatMap((slot) => slot.branches).filter((branch) => branch.changes)
  const same = (call: number) => branches.every((branch) => branch.at(call, calls) === branch.at(call - 1, calls))
  return Array.from({ length: calls }, (_, call) => call).filter((call) => call === 0 || !same(call))
}

/** What one encoder reads at one time. */
interface Text {
  readonly parts: readonly PromptPart[]
  readonly compel: CompelPrompt | undefined
  readonly layer: TextLayer
}
/** By encoder, time and slot. */
type Texts = readonly (readonly (readonly Text[])[])[]
type Encoded = readonly (readonly (readonly EncodedText[])[])[]

/** Texts in chunks: every text of every encoder takes as many as the longest. */
async function chunked(encoders: readonly WorkingTextEncoder[], texts: Texts, syntax: PromptSyntax): Promise<Encoded> {
  const read = texts.map((own, e) => {
    const encoder = encoders[e] as WorkingTextEncoder
    const found = new Map<readonly PromptPart[], Chunk[]>()
    for (const { parts } of own.flat(2))
      if (!found.has(parts)) found.set(parts, syntax === 'plain' ? [cut(encoder, parts)] : chunkPrompt(encoder.tokenizer, parts))
    return found
  })
  const longest = read.flatMap((found) => [...found.values()]).reduce((a, b) => (b.length > a.length ? b : a))
  const all: EncodedText[][][] = []
  for (const [e, own] of texts.entries()) {
    const encoder = encoders[e] as WorkingTextEncoder
    const known = read[e] as Map<readonly PromptPart[], Chunk[]>
    const equal = equalChunks(encoder.tokenizer, [...known.values(), longest])
    const order = [...known.keys()]
    const made = new Map<string, EncodedText>()
    for (const { parts, layer } of own.flat()) {
      const key = keyOf(order, parts, layer)
      if (!made.has(key)) made.set(key, await encoder.encode(equal[order.indexOf(parts)] as Chunk[], layer))
    }
    all.push(own.map((row) => row.map(({ parts, layer }) => made.get(keyOf(order, parts, layer)) as EncodedText)))
  }
  return all
}

const keyOf = (order: readonly (readonly PromptPart[])[], parts: readonly PromptPart[], { skip }: TextLayer) =>
  `${order.indexOf(parts)} ${skip}`

/** `plain` is what diffusers does of itself: nothing weighs more, and what the encoder has no place for is cut off. */
function cut({ tokenizer }: WorkingTextEncoder, parts: readonly PromptPart[]): Chunk {
  const text = parts.map((part) => (part.kind === 'text' ? part.text : '')).join('')
  const ids = tokenizer.frame(tokenizer.encode(text))
  return { ids, weights: ids.map(() => 1) }
}

/** Texts in compel's syntax, each by itself, the shorter filled with the empty prompt's states. */
async function compelled(encoders: readonly WorkingTextEncoder[], texts: Texts): Promise<Encoded> {
  const all: EncodedText[][][] = []
  for (const [e, own] of texts.entries()) {
    const rows: EncodedText[][] = []
    for (const row of own) rows.push(await inTurn(row, (text) => compelText(encoders[e] as WorkingTextEncoder, text)))
    all.push(rows)
  }
  const most = Math.max(...all.flat(2).map(({ states }) => states.shape[1] as number))
  return inTurn(all, (rows, e) =>
    inTurn(rows, (row, m) =>
      inTurn(row, async ({ states, pooled }, s) => {
        const { tokenizer, encode } = encoders[e] as WorkingTextEncoder
        const layer = texts[e]?.[m]?.[s]?.layer as TextLayer
        const left = (most - (states.shape[1] as number)) / tokenizer.maxLength
        if (left === 0) return { states, pooled }
        const chunks = equalChunks(tokenizer, [[], Array<Chunk>(left)])[0] as Chunk[]
        return { states: NdArray.concat([states, (await encode(chunks, layer)).states], 1), pooled }
      }),
    ),
  )
}

async function compelText(encoder: WorkingTextEncoder, { compel, layer }: Text): Promise<EncodedText> {
  const { tokenizer } = encoder
  const pooled: NdArray<'f32'>[] = []
  const statesOf = (parts: readonly PromptPart[]) =>
    compelStates(tokenizer, parts, async (chunks) => {
      const encoded = await encoder.encodeMasked(chunks, layer)
      // The first text is the empty prompt, the second this one as it stands.
      if (encoded.pooled) pooled.push(encoded.pooled.slice(0, 1, 2))
      return encoded.states
    })
  if (!compel || compel.kind === 'runs') return { states: await statesOf(compel?.parts ?? []), pooled: pooled[0] }
  const states = await inTurn(compel.items, ({ parts }) => statesOf(parts))
  const mixed = pooled.length > 0 ? pooledOf(compel, pooled) : undefined
  return { states: combineStates(compel, states, await statesOf([{ kind: 'text', text: '', weight: 1 }])), pooled: mixed }
}

/** The pooled texts of a blend are mixed as its states are; of prompts one behind the other, in the shares of their weights. */
function pooledOf(compel: CompelPrompt & { readonly kind: 'blend' | 'and' }, pooled: readonly NdArray<'f32'>[]): NdArray<'f32'> {
  const weights = compel.items.map(({ weight }) => weight)
  const sum = compel.kind === 'blend' && !compel.normalise ? 1 : weights.reduce((a, b) => a + b, 0)
  return pooled.map((one, i) => one.mul((weights[i] as number) / sum)).reduce((a, b) => a.add(b))
}

async function inTurn<T, R>(items: readonly T[], work: (item: T, i: number) => Promise<R>): Promise<R[]> {
  const found: R[] = []
  for (const [i, item] of items.entries()) found.push(await work(item, i))
  return found
}

/** The states of both encoders side by side; the pooled text is the last encoder's. */
function joined(encoded: readonly EncodedText[], xl: boolean): Condition {
  return {
    context: NdArray.concat(
      encoded.map(({ states }) => states),
      2,
    ),
    pooled: xl ? encoded.at(-1)?.pooled : undefined,
  }
}

const emptied = ({ context, pooled }: Condition): Condition => ({
  context: NdArray.zeros(context.shape),
  pooled: pooled && NdArray.zeros(pooled.shape),
})
