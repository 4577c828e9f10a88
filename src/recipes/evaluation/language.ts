import { join } from 'node:path'
import { ConfigError, loadConfig, openWeights } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import { mdlmConfig, seddConfig } from '../../models/index.ts'
import { finish, loadPipeline, type Pipeline } from '../../pipelines/index.ts'
import type { Weights } from '../../runtime/weights.ts'
import { LanguageTokenizer } from '../../text/index.ts'
import { recipeFile } from '../../training/history.ts'
import { corpusOf, windowStarts } from '../tasks/language/data.ts'
import { languageRecipeOf } from '../tasks/language/job.ts'
import { type TextBits, textBits } from '../tasks/language/measure.ts'
import { kneserNey, type NgramModel, ngramBits } from './kneser-ney.ts'
import type { EvaluateContext, EvaluateOptions } from './options.ts'

/** Texts, and what a model of 5-grams and counts of n-grams say of them. */
export interface TextFigures {
  readonly texts: number
  /** By 5-grams of the training texts. Low for texts that repeat themselves, so that it is read beside the next ones. */
  readonly ngramBitsPerByte: number
  /** Of the tokens of all texts together, in bits. */
  readonly entropy: number
  /** Different n-grams of all, n = 1, 2 and 3. */
  readonly distinct: readonly [number, number, number]
  /** 5-grams that the training texts have. */
  readonly copied: number
}

export interface LanguageEvaluation {
  readonly model: string
  readonly recipe: string
  /** Tokens of a text. */
  readonly length: number
  readonly steps: number
  /** Of held-out texts: the model's bound (exact for a causal model), and interpolated Kneser–Ney 5-grams on the same windows. */
  readonly bits: TextBits
  readonly ngramBits: { readonly bitsPerByte: number }
  readonly real: TextFigures
  readonly written: TextFigures
  /** Bits a byte, by 5-grams, of the middle of held-out texts and the eight tokens behind it. */
  readonly infilling: Readonly<Record<'real' | 'bothSides' | 'leftOnly' | 'otherText', number>> | undefined
}

const ORDER = 5
/** Windows of held-out texts whose bits are measured, and draws of masks of each. */
const [WINDOWS, DRAWS] = [256, 4]
/** Texts that are written at most. */
export const MOST_TEXTS = 64
/** Tokens behind a middle whose bits tell whether it fits. */
const BEHIND = 8

/** Bits of held-out texts beside 5-grams', and of what the model writes, how likely, how varied and how new it is. */
export async function evaluateLanguage(
  folder: string,
  { num, seed, steps: asked }: Pick<EvaluateOptions, 'num' | 'seed' | 'steps'>,
  { name, engine = {}, signal, onStep }: EvaluateContext,
): Promise<LanguageEvaluation> {
  const { recipe: type, training: _, ...fields } = readJson(join(folder, recipeFile))
  const stored = loadConfig(folder)
  const config = type === 'sedd' ? seddConfig(stored) : mdlmConfig(stored, join(folder, 'config.json'))
  const { recipe, objective } = languageRecipeOf(String(type), fields, config)
  const { train, test, bytes } = await corpusOf(recipe.data, recipe.tokenizer)
  if (bytes.length + 1 !== config.vocab_size)
    throw new ConfigError(
      join(folder, recipeFile),
      `its texts give ${bytes.length} tokens; the network has ${config.vocab_size - 1}`,
    )
  const N = config.model_length
  const weights = openWeights(folder) as Weights
  onStep?.({ stage: 'bits of held-out texts', done: 0, total: 1 })
  const measured = { objective, config, row: test, bytes, windows: WINDOWS, batch: 16, draws: DRAWS }
  const bits = await textBits(weights, measured, engine)
  onStep?.({ stage: 'bits of held-out texts', done: 1, total: 1 })

  const ngrams = kneserNey(train, { order: ORDER, size: bytes.length })
  const sizeOf = (tokens: readonly number[]) => tokens.reduce((sum, token) => sum + (bytes[token] ?? 0), 0)
  const windows = windowStarts(test, N, WINDOWS).map((at) => [...test.subarray(at, at + N)])
  const ngramRate = rateOf(ngrams, windows, sizeOf)

  const count = Math.min(num, MOST_TEXTS)
  const causal = type === 'ar'
  const steps = causal ? N : (asked ?? N)
  const pipeline = await loadPipeline(folder, { ...engine })
  const tokenizer = LanguageTokenizer.open(folder)
  const known = fivesIn([[...train]])
  const figures = (texts: readonly (readonly number[])[]): TextFigures => ({
    texts: texts.length,
    ngramBitsPerByte: rateOf(ngrams, texts, sizeOf),
    entropy: entropyOf(texts),
    distinct: [1, 2, 3].map((n) => distinctOf(texts, n)) as [number, number, number],
    copied: shareIn(known, texts),
  })
  try {
    const written: number[][] = []
    for (let i = 0; i < count; i++) {
      const text = await textFrom(pipeline, { prompt: '', length: N, ...(!causal && { steps }), seed: seed + i, signal })
      written.push(tokenizer.encode(text))
      onStep?.({ stage: 'texts', done: i + 1, total: count })
    }
    const spread = windowStarts(test, N, count).map((at) => [...test.subarray(at, at + N)])
    const infilling = causal || type === 'bd3lm' ? undefined : await infilled(spread.slice(0, Math.min(16, count)))
    return {
      ...{ model: name, recipe: String(type), length: N, steps, bits, ngramBits: { bitsPerByte: ngramRate } },
      ...{ real: figures(spread), written: figures(written.filter(({ length }) => length > 0)), infilling },
    }
  } finally {
    await pipeline.release()
  }

  /** A quarter of a text is taken out of its middle, and written again: with what stands behind it in sight, and without. */
  async function infilled(texts: readonly (readonly number[])[]): Promise<LanguageEvaluation['infilling']> {
    const [from, to] = [Math.floor((3 * N) / 8), Math.floor((5 * N) / 8)]
    const sums = { real: 0, bothSides: 0, leftOnly: 0, otherText: 0 }
    for (const [i, text] of texts.entries()) {
      const [left, right] = [text.slice(0, from), text.slice(to)]
      const given = { prompt: tokenizer.decode(left), length: to - from, steps: to - from, seed: seed + i, signal }
      const middleOf = async (suffix?: string) => {
        const whole = await textFrom(pipeline, { ...given, ...(suffix !== undefined && { suffix }) })
        const begun = whole.slice(given.prompt.length)
        return tokenizer.encode(suffix === undefined ? begun : begun.slice(0, Math.max(0, begun.length - suffix.length)))
      }
      const other = texts[(i + 1) % texts.length] as readonly number[]
      const middles = {
        real: text.slice(from, to),
        bothSides: await middleOf(tokenizer.decode(right)),
        leftOnly: await middleOf(),
        otherText: other.slice(from, to),
      }
      for (const [key, middle] of Object.entries(middles)) {
        const all = [...left, ...middle, ...right]
        const end = from + middle.length + BEHIND
        sums[key as keyof typeof sums] += ngramBits(ngrams, all, from, end) / sizeOf(all.slice(from, end)) / texts.length
      }
      onStep?.({ stage: 'middles', done: i + 1, total: texts.length })
    }
    return sums
  }
}

async function textFrom({ generate, place }: Pipeline, options: Record<string, unknown>): Promise<string> {
  const made = await finish(generate(options as never))
  if (made.type !== 'text') throw new TypeError(`${place}: made ${made.type}, not text`)
  return made.texts[0] ?? ''
}

/** Bits a byte of texts, each alone. */
function rateOf(model: NgramModel, texts: readonly (readonly number[])[], sizeOf: (tokens: readonly number[]) => number): number {
  const bits = texts.reduce((sum, text) => sum + ngramBits(model, text), 0)
  return bits / texts.reduce((sum, text) => sum + sizeOf(text), 0)
}

function* gramsIn(text: readonly number[], n: number): Generator<string> {
  for (let at = 0; at + n <= text.length; at++) yield text.slice(at, at + n).join(' ')
}

const fivesIn = (texts: readonly (readonly number[])[]): Set<string> => new Set(texts.flatMap((text) => [...gramsIn(text, 5)]))

function shareIn(known: ReadonlySet<string>, texts: readonly (readonly number[])[]): number {
  const all = texts.flatMap((text) => [...gramsIn(text, 5)])
  return all.length === 0 ? 0 : all.filter((one) => known.has(one)).length / all.length
}

function distinctOf(texts: readonly (readonly number[])[], n: number): number {
  const all = texts.flatMap((text) => [...gramsIn(text, n)])
  return all.length === 0 ? 0 : new Set(all).size / all.length
}

function entropyOf(texts: readonly (readonly number[])[]): number {
  const counts = new Map<number, number>()
  const all = texts.flat()
  for (const token of all) counts.set(token, (counts.get(token) ?? 0) + 1)
  return [...counts.values()].reduce((sum, count) => sum - (count / all.length) * Math.log2(count / all.length), 0)
}
