import { Reader } from 'protobufjs/minimal.js'
import { ConfigError } from '../checkpoints/errors.ts'
import { isObject, type Json, readJson } from '../checkpoints/json.ts'
import { existsSync, join, readFileSync } from '../runtime/system.ts'
import type { AddedToken } from './t5-tokenizer-added.ts'
import type { ScoredPiece } from './t5-tokenizer-unigram.ts'

/** What a T5 tokenizer's folder says. */
export interface T5Vocabulary {
  readonly pieces: readonly ScoredPiece[]
  /** Tokens that are matched whole in a text. */
  readonly added: readonly AddedToken[]
  readonly charsmap: Uint8Array | undefined
  readonly unknown: number
  readonly end: string
  readonly pad: string
  /** Tokens that the model's config gives a text at most, where it does. */
  readonly maxLength: number | undefined
  /** The file with the pieces. */
  readonly file: string
}

/** A piece may have so many UTF-16 units: SentencePiece's own limit is 16 characters unless a trainer asks for more. */
const longestPiece = 512
/** Sentinels that stand behind the pieces unless the config says how many (Raffel et al. 2020, section 3.1.4). */
const sentinels = 100

/**
 * The vocabulary of a folder with `tokenizer.json`, or `spiece.model` alone.
 *
 * @throws ConfigError for files that are missing or do not hold what they must
 */
export function readT5Vocabulary(dir: string): T5Vocabulary {
  const config = optional(dir, 'tokenizer_config.json')
  const json = join(dir, 'tokenizer.json')
  const model = join(dir, 'spiece.model')
  if (!existsSync(json) && !existsSync(model))
    throw new ConfigError(json, 'no such file, and no spiece.model: a T5 tokenizer has one or both')
  const named = { ...(isObject(config.added_tokens_decoder) ? {} : optional(dir, 'special_tokens_map.json')), ...config }
  const [end, pad, unk] = [
    ['eos_token', '</s>'],
    ['pad_token', '<pad>'],
    ['unk_token', '<unk>'],
  ].map(([role, otherwise]) => contentOf(named[role as string]) ?? (otherwise as string)) as [string, string, string]
  const stored = existsSync(json) ? fromJson(json) : fromModel(model, config, [end, unk, pad])
  const added = isObject(config.added_tokens_decoder)
    ? Object.entries(config.added_tokens_decoder).flatMap(([id, token]) => addedToken(id, token))
    : [...stored.added, ...Object.entries(optional(dir, 'added_tokens.json')).flatMap(([content, id]) => addedToken(id, content))]
  const length = Number(config.model_max_length)
  return { ...stored, added, end, pad, maxLength: length >= 1 && length < 1e6 ? Math.trunc(length) : undefined }
}

type Stored = Omit<T5Vocabulary, 'end' | 'pad' | 'maxLength'>

/** A `tokenizer.json`, of which the reference takes pieces, the normalisation's map and the added tokens, and no other step. */
function fromJson(file: string): Stored {
  const { model, normalizer, added_tokens: added } = readJson(file)
  if (!isObject(model) || !Array.isArray(model.vocab) || (model.type !== undefined && model.type !== 'Unigram'))
    throw new ConfigError(file, 'must hold a unigram model with its vocab', { field: 'model' })
  const pieces = model.vocab.map((entry: unknown, i: number) => {
    const [piece, score] = Array.isArray(entry) ? entry : []
    return checkedPiece(piece, score, `model.vocab[${i}]`, file)
  })
  const normalizers = isObject(normalizer) ? (Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [normalizer]) : []
  const map = normalizers.find((one) => isObject(one) && typeof one.precompiled_charsmap === 'string')?.precompiled_charsmap
  return {
    file,
    pieces: checkedPieces(pieces, file),
    added: Array.isArray(added) ? added.flatMap((token) => (isObject(token) ? addedToken(token.id, token) : [])) : [],
    charsmap: map === undefined ? undefined : fromBase64(map as string),
    unknown: checkedUnknown(Number(model.unk_id ?? 2), pieces.length, file),
  }
}

/** Bytes of a base64 text; characters that are none of base64's are passed over. */
function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const letters = text.replace(/[^A-Za-z0-9+/]/g, '')
  const whole = letters.length % 4 === 1 ? letters.slice(0, -1) : letters
  return Uint8Array.from(atob(whole), (letter) => letter.charCodeAt(0))
}

/** Types of SentencePiece's pieces. */
const [CONTROL, USER_DEFINED] = [3, 4]

/** A `spiece.model`, behind whose pieces the sentinels stand, the last first. */
function fromModel(file: string, config: Json, special: readonly string[]): Stored {
  const { pieces, types, charsmap, unknown, modelType } = readModel(file)
  if (modelType !== 1) throw new ConfigError(file, `is a SentencePiece model of type ${modelType}; T5's are of type 1, unigram`)
  const count = Number(config.extra_ids ?? sentinels)
  if (!Number.isInteger(count) || count < 0 || count > 10_000)
    throw new ConfigError(file, `tokenizer_config.json gives it ${config.extra_ids} extra_ids; expected 0 to 10,000`)
  const extra = Array.from({ length: count }, (_, i): ScoredPiece => [`<extra_id_${count - 1 - i}>`, 0])
  const all = [...checkedPieces(pieces, file), ...extra]
  const whole = all.flatMap(([content], id) => {
    const type = types[id]
    const isWhole = id >= pieces.length || type === CONTROL || type === USER_DEFINED || special.includes(content)
    return isWhole ? addedToken(id, content) : []
  })
  return { file, pieces: all, added: whole, charsmap, unknown: checkedUnknown(unknown, pieces.length, file) }
}

/** SentencePiece's `ModelProto`, of which a field that is not asked for is passed over. @throws ConfigError */
function readModel(file: string) {
  const pieces: ScoredPiece[] = []
  const types: number[] = []
  let charsmap: Uint8Array | undefined
  let [unknown, modelType] = [0, 1]
  try {
    fields(Reader.create(readFileSync(file)), {
      1: message((own) => {
        let [piece, score, type] = ['', 0, 1]
        fields(own, {
          1: [BYTES, (one) => (piece = one.string())],
          2: [FLOAT, (one) => (score = one.float())],
          3: [INTEGER, (one) => (type = one.int32())],
        })
        pieces.push(checkedPiece(piece, score, `piece ${pieces.length}`, file))
        types.push(type)
      }),
      2: message((own) =>
        fields(own, {
          3: [INTEGER, (one) => (modelType = one.int32())],
          40: [INTEGER, (one) => (unknown = one.int32())],
        }),
      ),
      3: message((own) => fields(own, { 2: [BYTES, (one) => (charsmap = Uint8Array.from(one.bytes()))] })),
    })
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    throw new ConfigError(file, `is not a SentencePiece model: ${(cause as Error).message}`, { cause })
  }
  const map = charsmap as Uint8Array | undefined
  return { pieces, types, charsmap: map && map.length > 0 ? map : undefined, unknown, modelType }
}

/** Wire types of protocol buffers. */
const [INTEGER, BYTES, FLOAT] = [0, 2, 5]
type Field = readonly [wire: number, read: (reader: Reader) => unknown]

/** Reads a message's fields; those that nothing is asked of are passed over. */
function fields(reader: Reader, of: Readonly<Record<number, Field>>): void {
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    const [wire, read] = of[tag >>> 3] ?? []
    if (!read) reader.skipType(tag & 7)
    else if (wire === (tag & 7)) read(reader)
    else throw new Error(`field ${tag >>> 3} has wire type ${tag & 7}, not ${wire}`)
  }
}

/** A field that is a message. */
const message = (read: (own: Reader) => void): Field => [BYTES, (reader) => read(Reader.create(reader.bytes()))]

function checkedPiece(piece: unknown, score: unknown, field: string, file: string): ScoredPiece {
  if (typeof piece !== 'string' || typeof score !== 'number' || !Number.isFinite(score))
    throw new ConfigError(file, 'must be a piece of text and its score', { field })
  if (piece.length > longestPiece) throw new ConfigError(file, `is longer than ${longestPiece} characters`, { field })
  return [piece, score]
}

function checkedPieces(pieces: readonly ScoredPiece[], file: string): readonly ScoredPiece[] {
  if (pieces.length === 0) throw new ConfigError(file, 'has no pieces')
  return pieces
}

function checkedUnknown(id: number, count: number, file: string): number {
  if (Number.isInteger(id) && id >= 0 && id < count) return id
  throw new ConfigError(file, `the unknown piece is number ${id} of ${count}`, { field: 'unk_id' })
}

function addedToken(id: unknown, token: unknown): AddedToken[] {
  const content = contentOf(token)
  if (content === undefined || content === '' || !Number.isInteger(Number(id)) || Number(id) < 0) return []
  const flag = (name: string) => isObject(token) && token[name] === true
  return [
    {
      id: Number(id),
      content,
      normalized: flag('normalized'),
      lstrip: flag('lstrip'),
      rstrip: flag('rstrip'),
      single: flag('single_word'),
    },
  ]
}

/** A token is written as text, or as an object with its text. */
function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token
  return isObject(token) && typeof token.content === 'string' ? token.content : undefined
}

const optional = (dir: string, name: string): Json => (existsSync(join(dir, name)) ? readJson(join(dir, name)) : {})
