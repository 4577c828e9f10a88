import {
  ancestralUnmasking,
  cleanProbabilities,
  type Draw,
  drawTokens,
  firstHitting,
  maskSchedules,
  nucleus,
  scoreSampling,
  scoresOf,
  unmasking,
} from '../../diffusion/index.ts'
import type { MdlmConfig } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import type { OpenedNetwork } from '../open/network.ts'
import type { Generation, Progress, Settings } from '../page.ts'
import { growingText } from '../parts/language-model.ts'
import type { options } from './options.ts'
import { planOf, type TextModel, type TextPlan } from './plan.ts'

/** A text under way: its tokens, with the mask where nothing is written yet. */
interface Stage {
  readonly i: number
  readonly tokens: readonly number[]
}
type Writing = AsyncGenerator<Stage, readonly number[], void>

interface Run {
  readonly model: TextModel
  readonly plan: TextPlan
  readonly settings: Settings<typeof options>
  readonly start: readonly number[]
  readonly generator: Generator
}

const tokensOf = (tokens: readonly number[]): NdArray<'i64'> =>
  new NdArray(BigInt64Array.from(tokens, BigInt), [1, tokens.length], 'i64')
const numbersOf = ({ data }: NdArray): number[] => Array.from(data as ArrayLike<number | bigint>, Number)

/** What stands in a preview where nothing is written yet. */
const unwritten = '░'

export async function* write(model: TextModel, settings: Settings<typeof options>): Generation {
  const plan = planOf(model, settings)
  const { before, after, mask, length, steps } = plan
  const { num, seed, signal } = settings
  const start = [...before, ...Array<number>(length).fill(mask), ...after]
  const textOf = (tokens: readonly number[]) => {
    // Runs of tokens that are written, and a mark for each that is not.
    const parts: string[] = []
    for (let from = 0; from < tokens.length; ) {
      const to = tokens.findIndex((token, at) => at > from && (token === mask) !== (tokens[from] === mask))
      const run = tokens.slice(from, to < 0 ? undefined : to)
      parts.push(tokens[from] === mask ? unwritten.repeat(run.length) : model.tokenizer.decode(run))
      from += run.length
    }
    return parts.join('')
  }
  const shown = (tokens: readonly number[]) =>
    textOf(tokens.slice(after.length > 0 || settings.raw || !isMessage(model) ? 0 : before.length))
  const texts: string[] = []
  for (let k = 0; k < num; k++) {
    const run: Run = { model, plan, settings, start, generator: new Generator(seed + k) }
    const writing = writerOf(run)
    let next = await writing.next()
    for (; !next.done; next = await writing.next()) {
      signal?.throwIfAborted()
      const { i, tokens } = next.value
      const progress: Progress = {
        ...{ picture: k, i, done: k * steps + Math.min(i, steps), total: num * steps },
        latents: tokensOf(tokens),
        preview: async () => ({ type: 'text', texts: [shown(tokens)] }),
      }
      yield progress
    }
    texts.push(shown(ended(next.value, { model, before })))
  }
  await model.done(model.working)
  return { type: 'text', texts }
}

const isMessage = ({ network, tokenizer }: TextModel) =>
  (network.className === 'LLaDAModelLM' || network.className === 'DreamModel') && tokenizer.converses

/** A text up to the token that ends it. */
function ended(tokens: readonly number[], { model, before }: { readonly model: TextModel; readonly before: readonly number[] }) {
  const { end } = model.network.config as { readonly end?: number }
  const at = end === undefined ? -1 : tokens.indexOf(end, before.length)
  return at < 0 ? tokens : tokens.slice(0, at)
}

function writerOf(run: Run): Writing {
  const { className } = run.model.network
  if (className === 'BD3LM') return byBlocks(run)
  if (className === 'AR') return byReading(run)
  if (className === 'SEDD') return byScores(run)
  return className === 'MDLM' ? byAncestors(run) : byConfidence(run)
}

/** A sampler's steps as stages of a text, of which its tokens may be a part. */
async function* stagesOf(
  sampling: AsyncGenerator<{ readonly i: number; readonly tokens: NdArray }, NdArray, void>,
  stage: (own: Stage) => Stage = (own) => own,
): Writing {
  let next = await sampling.next()
  for (; !next.done; next = await sampling.next()) yield stage({ i: next.value.i, tokens: numbersOf(next.value.tokens) })
  return numbersOf(next.value)
}

/** LLaDA and Dream: the surest tokens first. */
async function* byConfidence({ model, plan, settings, start, generator }: Run): Writing {
  const { working, network } = model
  const dream = network.className === 'DreamModel'
  const { guidance, topP, topK, threshold } = settings
  const prompt = new Set([...start.keys()].filter((at) => start[at] !== plan.mask))
  const logits = async (tokens: NdArray<'i64'>): Promise<NdArray<'f32'>> => {
    if (guidance === 0) return shifted(await working.logits(tokens), dream)
    // Without its prompt the model says what it would write anyway (Nie et al. 2025, appendix A).
    const bare = tokensOf(numbersOf(tokens).map((token, at) => (prompt.has(at) ? plan.mask : token)))
    const both = await working.logits(NdArray.concat([tokens, bare]))
    const [told, untold] = [both.row(0), both.row(1)].map((one) => one.reshape([1, ...one.shape.slice(-2)])) as [NdArray, NdArray]
    return shifted(untold.add(told.sub(untold).mul(guidance + 1)).cast('f32'), dream)
  }
  const decided = unmasking(logits, tokensOf(start), {
    ...{ mask: plan.mask, steps: plan.steps, block: plan.block, order: plan.order, temperature: plan.temperature, generator },
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && { topK }),
    ...(threshold !== undefined && { threshold }),
    ...(dream && ({ counts: 'share', confidence: 'drawn' } as const)),
  })
  return yield* stagesOf(decided)
}

/** Dream was made from a model that predicts the next token: its logits stand one place before what they are of. */
function shifted(logits: NdArray<'f32'>, dream: boolean): NdArray<'f32'> {
  if (!dream) return logits
  const N = logits.shape[1] as number
  return NdArray.concat([logits.slice(1, 0, 1), logits.slice(1, 0, N - 1)], 1)
}

const schedule = maskSchedules.loglinear

/** MDLM: masked tokens are drawn at times by chance. */
async function* byAncestors({ model, plan, settings, start, generator }: Run): Writing {
  const { mask, steps, temperature } = plan
  const share = settings.topP ?? 1
  const denoise = async (tokens: NdArray<'f32'>, sigma: number) =>
    nucleus(cleanProbabilities(await model.working.logits(tokens.cast('i64'), sigma), tokens, mask, temperature), share)
  const sampling = ancestralUnmasking(denoise, NdArray.from(start, [1, start.length]), { mask, schedule, steps, generator })
  return yield* stagesOf(sampling)
}

/** SEDD: tokens go back by their scores; those of the prompt are put back after each step. */
async function* byScores({ model, plan, start, generator }: Run): Writing {
  const { mask, steps } = plan
  const { scale_by_sigma: scaled } = model.network.config as MdlmConfig
  const fixed = (tokens: NdArray): NdArray =>
    tokens.cast('f32').map((token, at) => (start[at] === mask ? token : (start[at] as number)))
  const score = async (tokens: NdArray<'f32'>, sigma: number) =>
    scoresOf(await model.working.logits(tokens.cast('i64'), sigma), tokens, sigma, { scaled })
  const draw: Draw = (shares) => fixed(drawTokens(shares, generator))
  const sampling = scoreSampling(score, NdArray.from(start, [1, start.length]), { graph: 'absorb', schedule, steps, draw })
  return yield* stagesOf(sampling)
}

/** BD3-LM: block after block, each by masked diffusion that sees the blocks before. */
async function* byBlocks({ model, plan, settings, start, generator }: Run): Writing {
  const { mask, block, temperature } = plan
  const share = settings.topP ?? 1
  const growing = growingText(model.network as OpenedNetwork<'BD3LM'>, model.compile)
  const length = Math.ceil(start.length / block) * block
  let tokens = [...start, ...Array<number>(length - start.length).fill(mask)]
  let calls = 0
  try {
    for (let from = 0; from < length; from += block) {
      const denoise = async (own: NdArray<'f32'>) =>
        nucleus(cleanProbabilities(await growing.logits(own.cast('i64')), own, mask, temperature), share)
      const own = NdArray.from(tokens.slice(from, from + block), [1, block])
      const sampling = firstHitting(denoise, own, { mask, schedule, generator })
      const placed = (decided: readonly number[]) => tokens.toSpliced(from, block, ...decided)
      const decided = yield* stagesOf(sampling, (now) => ({ i: calls++, tokens: placed(now.tokens).slice(0, start.length) }))
      tokens = placed(decided)
      if (from + block < length) await growing.finish(tokensOf(tokens.slice(from, from + block)))
    }
  } finally {
    await growing.release()
  }
  return tokens.slice(0, start.length)
}

/** The causal twin: each token given those before it, whose keys and values are kept. The mask stands before the first. */
async function* byReading({ model, plan, settings, start, generator }: Run): Writing {
  const { mask, before, temperature } = plan
  const growing = growingText(model.network as OpenedNetwork<'AR'>, model.compile)
  const tokens = [...start]
  try {
    for (let at = 0; at < tokens.length; at++) {
      const logits = await growing.finish(tokensOf([at === 0 ? mask : (tokens[at - 1] as number)]))
      if (at < before.length) continue
      yield { i: at - before.length, tokens: [...tokens] }
      const shares = cleanProbabilities(logits, NdArray.from([[mask]]), mask, temperature)
      tokens[at] = drawTokens(nucleus(shares, settings.topP ?? 1), generator).data[0] as number
    }
  } finally {
    await growing.release()
  }
  return tokens
}
