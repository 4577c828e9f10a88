import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { simplexProjections, simplexSampling } from '../../diffusion/index.ts'
import { mostTokens } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { LanguageTokenizer } from '../../text/index.ts'
import type { OpenedNetwork } from '../open/network.ts'
import { network, optional } from '../open/parts.ts'
import { type Generation, type LoadOptions, type Page, page, type Releasable, type Settings } from '../page.ts'
import { type LogitGuide, logitGuide, simplexModel, type WorkingSimplexModel } from '../parts/simplex-model.ts'
import { options as others } from './options.ts'

const { prompt, length, seed, num, raw } = others.shape

const options = z.object({
  ...{ prompt, length, seed, num, raw },
  steps: z.int().positive().optional().meta({ description: 'calls of the network; of SSD-LM for each block, 100 unless given' }),
  block: others.shape.block,
  projection: z.enum(simplexProjections).default('sampling').meta({
    description: 'SSD-LM: what a step takes of the answer before: its likeliest token, one drawn, or all likely ones',
  }),
  topP: others.shape.topP,
  guide: z
    .string()
    .regex(/^.+:-?\d+(\.\d+)?$/, 'must be ATTRIBUTE:WEIGHT')
    .optional()
    .meta({ description: 'SSD-LM: an attribute that its classifier knows, and how strongly it is asked for: Whig:200' }),
})

interface Model extends Releasable {
  readonly network: OpenedNetwork<'SSDLM'>
  readonly working: WorkingSimplexModel
  readonly guide: LogitGuide | undefined
  readonly tokenizer: LanguageTokenizer
  done(part: Releasable): Promise<void>
}

/** Texts in blocks by diffusion on the vocabulary's simplex, guided by a classifier that was trained apart (Han et al. 2023). */
export const ssdLmPage: Page = page({
  classes: ['SSDLM'],
  output: 'text',
  parts: {
    model: network(['SSDLM']),
    classifier: optional(network(['RobertaForSequenceClassification'])),
    tokenizer: { open: (source) => LanguageTokenizer.open(source.tokenizer('tokenizer', [])) },
  },
  options,
  loads: ['tokenizer', 'classifier'] as (keyof LoadOptions & string)[],
  open({ model, classifier, tokenizer }, { compile, done }): Model {
    if (classifier && classifier.config.vocab_size !== model.config.vocab_size)
      throw new ArgumentError(
        `${classifier.place} reads ${classifier.config.vocab_size} tokens, ${model.place} writes ${model.config.vocab_size}: they need one vocabulary`,
      )
    const [working, guide] = [simplexModel(model, compile), classifier && logitGuide(classifier, compile)]
    const release = async () => {
      await working.release()
      await guide?.release()
    }
    return { network: model, working, guide, tokenizer, done, release }
  },
  plan: (model, settings) => {
    const { length, block, steps, guided } = planOf(model, settings)
    const shown = guided && `${guided.label} ${guided.weight}`
    return {
      className: 'SSDLM',
      settings: { Steps: steps, Length: length, Block: block, Projection: settings.projection, Guide: shown },
    }
  },
  generate: write,
})

/** @throws ArgumentError for settings that the model does not take */
function planOf({ network: { config, place }, guide, tokenizer }: Model, settings: Settings<typeof options>) {
  const before = [...tokenizer.encode(settings.prompt)]
  // It goes on from a token, the first of its texts.
  const start = before.length > 0 ? before : [config.bos_token_id]
  const most = mostTokens(config)
  const block = settings.block ?? config.block_size
  if (block >= most)
    throw new ArgumentError(`block: the model has seen ${most} tokens at most with what comes before, got ${block}`)
  const beyond = before.find((id) => id >= config.vocab_size)
  if (beyond !== undefined)
    throw new ArgumentError(
      `${place} knows ${config.vocab_size} tokens, and its tokenizer gives number ${beyond}: they do not belong together`,
    )
  const [, label, weight] = settings.guide?.match(/^(.+):([^:]+)$/) ?? []
  if (label !== undefined && !guide)
    throw new ArgumentError('guide: the model has no classifier; name its folder with --classifier')
  if (label !== undefined && guide && !guide.labels.includes(label))
    throw new ArgumentError(`guide: the classifier knows no ${label}; it tells ${guide.labels.join(', ')} apart`)
  return {
    ...{ before, start, block },
    length: settings.length ?? Math.max(1, Math.min(128, 4 * block)),
    steps: settings.steps ?? 100,
    guided: label === undefined ? undefined : { label, weight: Number(weight) },
  }
}

async function* write(model: Model, settings: Settings<typeof options>): Generation {
  const { before, start, length, block, steps, guided } = planOf(model, settings)
  const { num, seed, signal, projection, topP } = settings
  const { vocab_size: V, one_hot_value: K } = model.network.config
  const blocks = Math.ceil(length / block)
  const texts: string[] = []
  for (let k = 0; k < num; k++) {
    const generator = new Generator(seed + k)
    const written: number[] = []
    const textOf = (own: readonly number[]) => model.tokenizer.decode([...before, ...[...written, ...own].slice(0, length)])
    for (let b = 0; b < blocks; b++) {
      const denoise = async (x: NdArray<'f32'>, t: number) => {
        const logits = await model.working.logits([...start, ...written], x, t)
        return guided && model.guide ? model.guide.move(logits, guided.label, guided.weight) : logits
      }
      const run = simplexSampling(denoise, [1, block, V], {
        steps,
        generator,
        K,
        projection,
        ...(topP !== undefined && { topP }),
      })
      let next = await run.next()
      for (; !next.done; next = await run.next()) {
        signal?.throwIfAborted()
        const [i, own] = [next.value.i, Array.from(next.value.tokens.data)]
        const done = (k * blocks + b) * steps + i
        const preview = async () => ({ type: 'text' as const, texts: [textOf(i === 0 ? [] : own)] })
        yield {
          picture: k,
          i: b * steps + i,
          done,
          total: num * blocks * steps,
          latents: NdArray.from([[...written, ...own]]),
          preview,
        }
      }
      written.push(...next.value.data)
    }
    texts.push(textOf([]))
  }
  await model.done(model.working)
  return { type: 'text', texts }
}
