import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights } from '../../../checkpoints/index.ts'
import { input } from '../../../core/tensor.ts'
import { renameT5, t5, t5Config } from '../../../models/t5/index.ts'
import { Params } from '../../../nn/params.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { sentinel, T5Tokenizer } from '../../../text/index.ts'
import { crossEntropy } from '../classifier.ts'
import { corruptedTexts, type NoiseFields } from './batch.ts'

const BATCH = 32

/** Of the tokens that were cut out of texts. */
export interface ToldTokens {
  readonly asked: number
  /** Told right, each with those before it known. */
  readonly right: number
  /** Told right by who always says the commonest. */
  readonly common: number
  /** Nats of a token. */
  readonly loss: number
}

/** What a T5's folder tells of spans that are cut out of texts; sentinels and ends are not counted. */
export async function toldTokens(
  folder: string,
  texts: readonly string[],
  noise: NoiseFields,
  engine: CompileOptions,
): Promise<ToldTokens> {
  const config = t5Config(loadConfig(folder), join(folder, 'config.json'))
  const tokenizer = T5Tokenizer.open(folder)
  const length = tokenizer.maxLength ?? 32
  const { answer, batch } = corruptedTexts(tokenizer, length, noise)
  const rows = Math.min(BATCH, texts.length)
  const p = new Params()
  const { encode, decode, logits } = t5(p, config)
  const stored = new Map([...openWeights(folder)].map(([key, value]) => [renameT5(key), value] as const))
  const given = (name: string, size: number) => input(name, [rows, size], 'i64')
  const mask = given('mask', length)
  const states = encode(given('source', length), mask)
  const found = logits(decode(given('before', answer), { context: states, contextMask: mask }))
  const flat = found.reshape([rows * answer, config.vocab_size])
  const loss = crossEntropy(flat, input('labels', [rows * answer], 'i64'), input('counts', [rows * answer]))
  const weights = matchWeights(p.tensors, stored, { place: folder })
  const program = await compile({ outputs: { best: flat.argmax(1), loss }, weights }, engine)

  const sentinels = new Set(Array.from({ length: answer }, (_, i) => tokenizer.idOf(sentinel(i))))
  const times = new Map<number, number>()
  let [asked, right, nats, weight] = [0, 0, 0, 0]
  for (let from = 0; from + rows <= texts.length; from += rows) {
    const fed = batch(texts.slice(from, from + rows), new Generator(from))
    const isAsked = Array.from(fed.labels.data, (label, i) => {
      const id = Number(label)
      return fed.counts.data[i] === 1 && id !== tokenizer.end && !sentinels.has(id)
    })
    const counts = fed.counts.map((_, i) => (isAsked[i] ? 1 : 0))
    const out = await program.run({ ...fed, counts })
    const best = Array.from((out.best as NdArray).data, Number)
    const own = isAsked.filter(Boolean).length
    nats += own * (out.loss as NdArray).item()
    weight += own
    for (const [i, label] of Array.from(fed.labels.data, Number).entries()) {
      if (!isAsked[i]) continue
      asked++
      right += Number(best[i] === label)
      times.set(label, (times.get(label) ?? 0) + 1)
    }
  }
  await program.release()
  return { asked, right, common: Math.max(0, ...times.values()), loss: nats / weight }
}
