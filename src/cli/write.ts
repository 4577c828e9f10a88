import { z } from 'zod'
import type { Pipeline, Result, RunInput } from '../pipelines/index.ts'
import { defineCommand, type Io, onInterrupt, printResult } from './command.ts'
import { UsageError } from './errors.ts'
import { pageFlags } from './generate/flags.ts'
import { hubOf } from './generate/load.ts'

/** Flags of the pages that make texts. */
const ofPages = [...pageFlags(['text'])]

const options = z.object({
  ...Object.fromEntries(ofPages.map(([name, { schema }]) => [name, schema])),
  prompt: z.string().optional().meta({ description: 'what the text begins with, or the message of a conversation' }),
  model: z
    .string()
    .meta({ description: "a folder with a language model's config.json, weights and tokenizer.json, or a name on the hub" }),
  tokenizer: z.string().optional().meta({ description: "a folder with tokenizer.json, where the model's own has none" }),
  classifier: z.string().optional().meta({
    description:
      'the folder of a classifier of the same vocabulary, which guides SSD-LM; unless given, classifier/ in the model’s own',
  }),
  quantize: z
    .enum(['int4'])
    .optional()
    .meta({ description: 'weights of four bits: a fourth of the memory, not quite the same text' }),
  threads: z.int().positive().optional().meta({ description: 'of the processor; all cores unless given' }),
  json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
})

export const write = defineCommand({
  name: 'write',
  summary: 'texts, by language models that decide many words at a time',
  description:
    'Writes a text by masked diffusion: all of it stands masked (░) at first, and words are decided in any order, those of which the model is surest first, or at random times. In a terminal the text is shown as it comes. Opens LLaDA, Dream, MDLM, SEDD, BD3-LM and SSD-LM.',
  positional: ['prompt'],
  options,
  examples: [
    ['langevin write "Why is the sky blue?" --model path/to/LLaDA-8B-Instruct --quantize int4', 'an answer, in little memory'],
    ['langevin write "Once" --suffix "ever after." --model path/to/mdlm --length 64', 'what stands between'],
    ['langevin write "My fellow citizens" --model path/to/bd3lm --length 128', 'block after block'],
    [
      'langevin write "My fellow citizens" --model path/to/ssd-lm --classifier path/to/classifier --guide Whig:200',
      'guided to what a classifier tells',
    ],
    ['langevin write "2 + 2 =" --model path/to/Dream --order entropy --steps 16 --length 32', 'two words a step'],
  ],
  async run({ model, tokenizer, classifier, quantize, threads, json, ...settings }, io) {
    const { loadPipeline } = await import('../pipelines/index.ts')
    const signal = onInterrupt()
    const began = performance.now()
    const load = {
      tokenizer,
      classifier,
      quantize,
      ...(threads !== undefined && { threads }),
      keep: true,
      hub: hubOf(signal, io),
    }
    const pipeline = await loadPipeline(model, load)
    try {
      if (pipeline.output !== 'text') throw new UsageError(`--model: ${model} makes ${pipeline.output}; use langevin generate`)
      const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))
      const run = { ...given, signal }
      pipeline.plan(run)
      const result = await shown(pipeline, run, { io, quiet: json })
      const texts = result.type === 'text' ? result.texts : []
      const seconds = (performance.now() - began) / 1000
      printResult(io, json, { texts, seconds }, () => texts.join('\n\n'))
    } finally {
      await pipeline.release()
    }
  },
})

/** A run's result; in a terminal its text stands there as it comes, elsewhere a bar shows how far it is. */
async function shown(
  pipeline: Pipeline,
  run: RunInput,
  { io, quiet }: { readonly io: Io; readonly quiet: boolean },
): Promise<Result> {
  const stream = io.err as NodeJS.WriteStream
  const live = !quiet && stream.isTTY === true
  const screen = live ? (await import('log-update')).createLogUpdate(stream) : undefined
  const bar = live || quiet ? undefined : (await import('../training/logs/progress.ts')).progress
  let running: ReturnType<NonNullable<typeof bar>> | undefined
  const steps = pipeline.generate(run)
  try {
    for (let next = await steps.next(); ; next = await steps.next()) {
      if (next.done) return next.value
      const { done, total } = next.value
      running ??= bar?.({ total, stream: io.err })
      running?.update(done)
      if (!screen) continue
      const made = await next.value.preview()
      if (made.type === 'text') screen(`${made.texts.join('\n')}\n\n${done} of ${total} steps`)
    }
  } finally {
    running?.stop()
    screen?.clear()
  }
}
