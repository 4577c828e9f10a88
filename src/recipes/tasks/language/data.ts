import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { isHeldOutDocument, readDocuments, speeches, type TextDocument } from '../../../data/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import {
  bytesOfTokens,
  endOfDocument,
  LanguageTokenizer,
  type LanguageVocabulary,
  languageEncoder,
  saveLanguageTokenizer,
  trainLanguageVocabulary,
} from '../../../text/index.ts'

/** Which texts to learn. */
export const textsSchema = z.discriminatedUnion('kind', [
  /** The State of the Union addresses; those of every tenth year are held out. */
  z.strictObject({ kind: z.literal('speeches') }),
  /** One's own: a `.txt`, `.md` or `.jsonl` file or a folder of them, and about the share of texts that is held out. */
  z.strictObject({
    kind: z.literal('texts'),
    train_data_dir: z.string(),
    held_out: z.number().positive().lt(1).default(0.1),
  }),
])
export type TextsConfig = z.infer<typeof textsSchema>

/** What is learnt from, what recipes are chosen by, and what is reported. Of one's own texts the last two are the same. */
export interface TextSplits {
  readonly train: readonly TextDocument[]
  readonly validation: readonly TextDocument[]
  readonly test: readonly TextDocument[]
}

/** @throws DataError for texts that cannot be read, ArgumentError where none is left to learn from or to hold out */
export async function textSplits(data: TextsConfig): Promise<TextSplits> {
  if (data.kind === 'speeches') {
    const [train, validation, test] = [await speeches('train'), await speeches('validation'), await speeches('test')]
    return { train, validation, test }
  }
  const all = readDocuments(data.train_data_dir)
  const heldOut = all.filter(({ name }) => isHeldOutDocument(name, data.held_out))
  const train = all.filter((one) => !heldOut.includes(one))
  if (train.length === 0 || heldOut.length === 0)
    throw new ArgumentError(
      `${data.train_data_dir}: of ${all.length} texts ${heldOut.length} are held out; give more texts (a .jsonl with one a line, or several files), or another held_out than ${data.held_out}`,
    )
  return { train, validation: heldOut, test: heldOut }
}

/** Texts as rows of tokens, and the vocabulary that they are in. */
export interface Corpus {
  readonly vocabulary: LanguageVocabulary
  readonly train: Uint16Array
  readonly validation: Uint16Array
  readonly test: Uint16Array
  /** Bytes of each token. */
  readonly bytes: Uint8Array
  /** What tells it from other corpora. */
  readonly fingerprint: string
}

/** Learns a vocabulary of at most `size` tokens from the training texts, and cuts all texts into its tokens, an end after each. */
export async function corpusOf(data: TextsConfig, { size }: { readonly size: number }): Promise<Corpus> {
  const splits = await textSplits(data)
  const vocabulary = vocabularyOf(splits, size)
  return { ...encoded(splits, vocabulary), vocabulary, bytes: bytesOfTokens(vocabulary) }
}

const vocabularyOf = ({ train }: TextSplits, size: number) =>
  trainLanguageVocabulary(
    train.map(({ text }) => text),
    { size },
  )

function encoded(splits: TextSplits, vocabulary: LanguageVocabulary) {
  const rowOf = rowsIn(vocabulary)
  const row = (documents: readonly TextDocument[]) => {
    const parts = documents.map(rowOf)
    const all = new Uint16Array(parts.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const part of parts) {
      all.set(part, at)
      at += part.length
    }
    return all
  }
  const [train, validation, test] = [row(splits.train), row(splits.validation), row(splits.test)]
  return { train, validation, test, fingerprint: createHash('sha256').update(train).digest('hex').slice(0, 16) }
}

/** A text in a vocabulary's tokens, its end after it. */
function rowsIn(vocabulary: LanguageVocabulary) {
  const encode = languageEncoder(openedTokenizer(vocabulary))
  const end = vocabulary.vocab[endOfDocument] as number
  return ({ text }: TextDocument) => Uint16Array.from([...encode(text), end])
}

/** The same vocabulary, and texts one by one with what is told of them. */
export async function documentRows<L>(
  data: TextsConfig,
  { size }: { readonly size: number },
  labelOf: (document: TextDocument) => L,
) {
  const splits = await textSplits(data)
  const vocabulary = vocabularyOf(splits, size)
  const rowOf = rowsIn(vocabulary)
  const rows = (documents: readonly TextDocument[]) => documents.map((one) => ({ row: rowOf(one), label: labelOf(one) }))
  return { vocabulary, bytes: bytesOfTokens(vocabulary), train: rows(splits.train), validation: rows(splits.validation) }
}

/** The tokenizer that a folder would give. */
function openedTokenizer(vocabulary: LanguageVocabulary): LanguageTokenizer {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-tokenizer-'))
  try {
    saveLanguageTokenizer(dir, vocabulary, { maxLength: 1024 })
    return LanguageTokenizer.open(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

/** Windows of N tokens from anywhere in a row, i64 [B, N]. @throws ArgumentError for a row that is shorter */
export function drawWindows(row: Uint16Array, [B, N]: readonly [number, number], generator: Generator): NdArray<'i64'> {
  if (row.length < N) throw new ArgumentError(`length: windows of ${N} tokens, and all texts together have ${row.length}`)
  const starts = generator.randint(0, row.length - N + 1, [B]).data
  return windowsAt(row, Array.from(starts, Number), N)
}

/** Windows side by side, at most `count`, spread evenly over a row: their starts. */
export function windowStarts(row: Uint16Array, N: number, count = Number.POSITIVE_INFINITY): number[] {
  const all = Math.floor(row.length / N)
  const chosen = Math.min(all, count)
  return Array.from({ length: chosen }, (_, i) => N * Math.floor((i * all) / chosen))
}

export const windowsAt = (row: Uint16Array, starts: readonly number[], N: number): NdArray<'i64'> =>
  new NdArray(
    BigInt64Array.from(
      starts.flatMap((at) => [...row.subarray(at, at + N)]),
      BigInt,
    ),
    [starts.length, N],
    'i64',
  )
