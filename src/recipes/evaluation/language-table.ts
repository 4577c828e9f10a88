import type { LanguageEvaluation } from './language.ts'
import { percent, type Table } from './tables.ts'

const bits = (value: number) => value.toFixed(3)

/** What held-out texts cost. */
export const bitsTable = ({ model, recipe, bits: own, ngramBits }: LanguageEvaluation): Table => [
  [`${own.windows} windows of held-out texts`, 'bits a byte'],
  [recipe === 'ar' ? model : `${model}, at most`, `${bits(own.bitsPerByte)} ± ${bits(own.error)}`],
  ['Kneser–Ney 5-grams of the training texts', bits(ngramBits.bitsPerByte)],
]

/** What is written, beside held-out texts. */
export const writtenTable = ({ model, real, written, length, steps }: LanguageEvaluation): Table => [
  [`${written.texts} texts of ${length} tokens, ${steps} steps`, 'held-out texts', model],
  ['bits a byte by 5-grams', bits(real.ngramBitsPerByte), bits(written.ngramBitsPerByte)],
  ['entropy of the tokens, bits', real.entropy.toFixed(2), written.entropy.toFixed(2)],
  ...([1, 2, 3] as const).map((n) => [`different ${n}-grams`, percent(real.distinct[n - 1]), percent(written.distinct[n - 1])]),
  ['5-grams that the training texts have', percent(real.copied), percent(written.copied)],
]

/** How middles fit; none for a model that only continues. */
export const infillingTable = ({ infilling }: LanguageEvaluation): Table =>
  infilling === undefined
    ? []
    : [
        ['the middle of held-out texts, and what follows', 'bits a byte by 5-grams'],
        ['the real one', bits(infilling.real)],
        ['written with both sides in sight', bits(infilling.bothSides)],
        ['written with the left side alone', bits(infilling.leftOnly)],
        ['of another text', bits(infilling.otherText)],
      ]
