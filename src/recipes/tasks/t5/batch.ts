import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import { sentinel, type T5Tokenizer } from '../../../text/index.ts'
import { corruptSpans, longestTarget } from './span-corruption.ts'

/** A T5 recipe's fields that say what is cut out. */
export interface NoiseFields {
  readonly noise_density: number
  readonly mean_noise_span_length: number
}

/** Texts with spans cut out, as a T5 reads them and answers: `source`, `mask`, `before`, `labels` and `counts`. */
export function corruptedTexts(tokenizer: T5Tokenizer, length: number, { noise_density, mean_noise_span_length }: NoiseFields) {
  const options = {
    density: noise_density,
    meanLength: mean_noise_span_length,
    sentinel: (i: number) => tokenizer.idOf(sentinel(i)) as number,
  }
  /** Tokens of an answer, its end included. */
  const answer = longestTarget(length - 1, options) + 1
  return {
    answer,
    batch(texts: readonly string[], generator: Generator) {
      const [source, masks, before, target, counts]: [number[], number[], number[], number[], number[]] = [[], [], [], [], []]
      for (const text of texts) {
        const corrupted = corruptSpans(tokenizer.encode(text).slice(0, length - 1), options, generator)
        const [from, to] = [tokenizer.frame(corrupted.source, length), tokenizer.frame(corrupted.target, answer)]
        // Some systems hide the padding from their readers, others do not: it learns both.
        const hidden = generator.bits() < 2 ** 31
        source.push(...from.ids)
        masks.push(...(hidden ? from.mask : from.mask.map(() => 1)))
        // The decoder starts from a padding token.
        before.push(tokenizer.pad, ...to.ids.slice(0, -1))
        target.push(...to.ids)
        counts.push(...to.mask)
      }
      const whole = (values: readonly number[], shape: number[]) => new NdArray(BigInt64Array.from(values, BigInt), shape, 'i64')
      return {
        source: whole(source, [texts.length, length]),
        mask: whole(masks, [texts.length, length]),
        before: whole(before, [texts.length, answer]),
        labels: whole(target, [texts.length * answer]),
        counts: NdArray.from(counts),
      }
    },
  }
}
