import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { input } from '../core/tensor.ts'
import { agreementGrammar, type Grammar } from '../data/index.ts'
import { finish, type MaskSchedule, type UnmaskingOrder, unmasking } from '../diffusion/index.ts'
import type { LineChart } from '../images/index.ts'
import { type MdlmConfig, mdlm, mdlmConfig } from '../models/index.ts'
import { Params } from '../nn/params.ts'
import { compile, Generator, NdArray } from '../runtime/index.ts'
import { train } from '../training/index.ts'
import { blockObjective, causalObjective, maskedObjective, type TextObjective } from './tasks/language/objectives.ts'

/** What a trained network says that texts of the grammar cost, in bits a text. */
export interface EntropyBound {
  readonly name: string
  readonly bits: number
  /** What it says beyond −log₂ p of the same texts: a Kullback–Leibler divergence at least, so never below 0 but by chance. */
  readonly above: number
  /** Half of the 95 % interval of `above`. */
  readonly interval: number
  /** Bits a text of each training batch. */
  readonly learning: readonly (readonly [step: number, bits: number])[]
}

/** Texts that masked diffusion wrote in an order: how many the grammar can write at all, and how many differ. */
export interface OrderFigures {
  readonly order: UnmaskingOrder
  readonly steps: number
  readonly valid: number
  readonly different: number
}

export interface KnownEntropy {
  /** Of a text, in bits: no bound can be below. */
  readonly entropy: number
  readonly bounds: readonly EntropyBound[]
  readonly orders: readonly OrderFigures[]
}

export interface KnownEntropyOptions {
  /** Training steps of every network. */
  readonly steps: number
  readonly seed: number
  /** Texts that bounds are measured on. */
  readonly texts?: number
  /** Texts that are written in every order. */
  readonly written?: number
  readonly grammar?: Grammar
  readonly signal?: AbortSignal | undefined
  readonly onStep?: (step: { readonly stage: string; readonly done: number; readonly total: number }) => void
}

const BATCH = 32
/** Draws of times and masks of each text that is measured. */
const DRAWS = 4
/** Tokens of a text, with ends behind its last word: whole blocks of 4 and of 16. */
const LENGTH = 32

/** α = 1 − t to the very end: shares that stay above 0 would leave a thousandth of the bound out. */
const schedule: MaskSchedule = { kept: (t) => 1 - t, rate: () => 1 }
const whole = [1e-4, 1] as const

/** The causal twin, blocks of 4 and 16, and all tokens together: fields of the network and how it learns. */
const contestants = [
  { name: 'AR', fields: { model_type: 'ar', causal: true }, objective: causalObjective },
  ...[4, 16].map((size) => ({
    name: `BD3(${size})`,
    fields: { model_type: 'bd3lm', block_size: size },
    objective: (config: MdlmConfig) => blockObjective(config, schedule),
  })),
  { name: 'MDLM', fields: { model_type: 'mdlm' }, objective: (config: MdlmConfig) => maskedObjective(config, schedule) },
]

/**
 * Networks of one size learn a grammar whose entropy H is known, for equally many texts, and their bounds are held against −log₂ p of fresh texts:
 * H ≤ AR ≤ BD3(4) ≤ BD3(16) ≤ MDLM (Arriola et al. 2025, section 3). Then the masked one writes in several orders.
 */
export async function measureKnownEntropy(options: KnownEntropyOptions): Promise<KnownEntropy> {
  const { seed, texts: count = 1024, written = 100, grammar = agreementGrammar, onStep } = options
  const end = grammar.words.length
  const sizes = { vocab_size: end + 2, model_length: LENGTH, hidden_dim: 64, cond_dim: 16, n_blocks: 2, n_heads: 2 }
  const root = new Generator(seed)
  const fresh = textsOf(grammar, count, root.fork('measured'))
  const exact = fresh.texts.map((text) => -grammar.logProbability(text))
  const bounds: EntropyBound[] = []
  let orders: readonly OrderFigures[] = []
  for (const { name, fields, objective: made } of contestants) {
    const config = mdlmConfig({ ...sizes, ...fields })
    const objective = made(config)
    const { weights, learning } = await learnt(name, { objective, config, grammar }, options)
    const nats = await natsOf(fresh.tokens, { objective, config, weights, generator: root.fork('masks') })
    const above = nats.map((one, i) => one - (exact[i] as number))
    const mean = meanOf(above)
    const spread = Math.sqrt(above.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (count * (count - 1)))
    bounds.push({ name, bits: meanOf(nats) / Math.LN2, above: mean / Math.LN2, interval: (1.96 * spread) / Math.LN2, learning })
    if (name === 'MDLM') orders = await ordersOf({ config, weights, grammar }, { written, seed, onStep })
  }
  return { entropy: grammar.entropy / Math.LN2, bounds, orders }
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length

/** Texts of the grammar, and as tokens, the end behind each: i64 [count, LENGTH]. */
function textsOf(grammar: Grammar, count: number, generator: Generator) {
  const numberOf = new Map(grammar.words.map((word, i) => [word, i]))
  const texts = Array.from({ length: count }, () => grammar.draw(generator).words)
  const tokens = texts.map((text) => [
    ...text.map((word) => numberOf.get(word) as number),
    ...Array<number>(LENGTH - text.length).fill(grammar.words.length),
  ])
  return { texts, tokens: NdArray.from(tokens).cast('i64') }
}

interface Learner {
  readonly objective: TextObjective
  readonly config: MdlmConfig
  readonly grammar: Grammar
}

async function learnt(
  name: string,
  { objective, config, grammar }: Learner,
  { steps, seed, signal, onStep }: KnownEntropyOptions,
) {
  const params = new Params()
  const nats = objective.nats(mdlm(params, config), [BATCH, LENGTH]).mean()
  const task = {
    ...{ params, loss: nats.div(LENGTH), metrics: { bits: nats.div(Math.LN2) } },
    batch: (generator: Generator) => objective.feeds(textsOf(grammar, BATCH, generator).tokens, generator, whole),
  }
  const dir = mkdtempSync(join(tmpdir(), 'langevin-entropy-'))
  try {
    const run = train(task, {
      ...{ dir, steps, seed, threads: 1, optimizer: 'muon' as const, learningRate: 5e-3, rateSchedule: 'cosine' as const },
      ...{ warmup: Math.min(50, steps), ema: 0.99, checkpointEvery: steps, ...(signal && { signal }) },
    })
    const learning: (readonly [number, number])[] = []
    let next = await run.next()
    for (; !next.done; next = await run.next()) {
      const { step, metrics } = next.value
      learning.push([step, metrics.bits as number])
      onStep?.({ stage: name, done: step, total: steps })
    }
    signal?.throwIfAborted()
    return { weights: next.value, learning }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

type LearntWeights = ReadonlyMap<string, NdArray>

/** Nats of each text [count, LENGTH], the mean over draws. */
async function natsOf(
  tokens: NdArray<'i64'>,
  {
    objective,
    config,
    weights,
    generator,
  }: Omit<Learner, 'grammar'> & { readonly weights: LearntWeights; readonly generator: Generator },
): Promise<number[]> {
  const nats = objective.nats(mdlm(new Params(), config), [BATCH, LENGTH])
  const program = await compile({ outputs: { nats }, weights }, { threads: 1 })
  const draws = objective.className === 'AR' ? 1 : DRAWS
  const count = tokens.shape[0] as number
  const found = new Array<number>(count).fill(0)
  try {
    for (let from = 0; from < count; from += BATCH) {
      // The last call is filled up with texts that are not counted.
      const rows = Array.from({ length: BATCH }, (_, i) =>
        tokens.slice(0, Math.min(from + i, count - 1), Math.min(from + i, count - 1) + 1),
      )
      for (let draw = 0; draw < draws; draw++) {
        const out = await program.run(objective.feeds(NdArray.concat(rows).cast('i64'), generator, whole))
        for (const [i, value] of Array.from((out.nats as NdArray).data, Number).entries())
          if (from + i < count) found[from + i] = (found[from + i] as number) + value / draws
      }
    }
    return found
  } finally {
    await program.release()
  }
}

/** Texts of the masked network at temperature 1, in several orders, a token a step and four. */
async function ordersOf(
  { config, weights, grammar }: Omit<Learner, 'objective'> & { readonly weights: LearntWeights },
  { written, seed, onStep }: { readonly written: number; readonly seed: number } & Pick<KnownEntropyOptions, 'onStep'>,
): Promise<OrderFigures[]> {
  const mask = config.vocab_size - 1
  const { logits } = mdlm(new Params(), config)(input('tokens', [1, LENGTH], 'i64'))
  const program = await compile({ outputs: { logits }, weights }, { threads: 1 })
  const told = async (tokens: NdArray<'i64'>) => (await program.run({ tokens })).logits as NdArray
  const found: OrderFigures[] = []
  const all = (['left', 'random', 'confidence', 'entropy'] as const).flatMap((order) =>
    [LENGTH, LENGTH / 4].map((steps) => ({ order, steps })),
  )
  try {
    for (const [done, { order, steps }] of all.entries()) {
      const texts: string[] = []
      for (let k = 0; k < written; k++) {
        const generator = new Generator(seed + k)
        const start = NdArray.full([1, LENGTH], mask).cast('i64')
        const text = await finish(unmasking(told, start, { mask, steps, order, temperature: 1, never: [mask], generator }))
        texts.push(wordsOf(text, grammar).join(' '))
      }
      const valid = texts.filter((text) => Number.isFinite(grammar.logProbability(text.split(' ')))).length
      found.push({ order, steps, valid: valid / written, different: new Set(texts).size / written })
      onStep?.({ stage: 'writing in orders', done: done + 1, total: all.length })
    }
    return found
  } finally {
    await program.release()
  }
}

/** The words before the ends; an end between words stays, as a word that no grammar has. */
function wordsOf(tokens: NdArray, { words }: Grammar): string[] {
  const all = Array.from(tokens.data, Number)
  const last = all.findLastIndex((token) => token < words.length)
  return all.slice(0, last + 1).map((token) => words[token] ?? '(end)')
}

export function entropyChart({ entropy, bounds }: KnownEntropy): LineChart {
  const last = Math.max(...bounds.flatMap(({ learning }) => learning.map(([step]) => step)))
  return {
    title: 'What texts cost, beside their entropy',
    subtitle: 'Networks of one size learn texts of a grammar; mean of the batches around a step',
    x: { name: 'training step' },
    y: { name: 'a text', unit: 'bits', scale: 'log' },
    series: [
      ...bounds.map(({ name, learning }) => ({ name, points: learning, average: 2 * Math.ceil(learning.length / 40) + 1 })),
      { name: 'entropy', points: [[1, entropy] as const, [last, entropy] as const], dashed: true },
    ],
    width: 800,
    height: 520,
  }
}
