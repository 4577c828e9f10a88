import { saving } from '../checkpoints/atomic.ts'
import { writeJson } from '../checkpoints/json.ts'
import { join, mkdirSync } from '../runtime/system.ts'
import type { ScoredPiece } from './t5-tokenizer-unigram.ts'

const [pad, end, unknown] = ['<pad>', '</s>', '<unk>'] as const

/** Sentinels that stand for what is cut out of a text, the first last (Raffel et al. 2020, section 3.1.4). */
const SENTINELS = 100

/** The sentinel for the span i of a text. */
export const sentinel = (i: number): string => `<extra_id_${i}>`

/**
 * Writes a tokenizer's folder as transformers' `T5Tokenizer` and `T5Tokenizer.open` read it: `<pad>`, `</s>`, `<unk>`, the pieces, the
 * sentinels.
 *
 * @param maxLength tokens of a text at most, its end included
 */
export function saveT5Tokenizer(
  dir: string,
  pieces: readonly ScoredPiece[],
  { maxLength }: { readonly maxLength: number },
): void {
  saving(dir, () => mkdirSync(dir, { recursive: true }))
  const sentinels = Array.from({ length: SENTINELS }, (_, i) => sentinel(SENTINELS - 1 - i))
  const special = [pad, end, unknown]
  const vocab = [...special.map((token) => [token, 0] as const), ...pieces, ...sentinels.map((token) => [token, 0] as const)]
  const whole = new Set<string>([...special, ...sentinels])
  const added = vocab.flatMap(([content], id) =>
    whole.has(content)
      ? [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }]
      : [],
  )
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } })
  const ending = { SpecialToken: { id: end, type_id: 0 } }
  writeJson(join(dir, 'tokenizer.json'), {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] },
    post_processor: {
      type: 'TemplateProcessing',
      single: [text('A'), ending],
      pair: [text('A'), ending, text('B'), ending],
      special_tokens: { [end]: { id: end, ids: [1], tokens: [end] } },
    },
    decoder: metaspace,
    model: { type: 'Unigram', unk_id: 2, vocab, byte_fallback: false },
  })
  const named = { eos_token: end, pad_token: pad, unk_token: unknown }
  const extra = { extra_ids: SENTINELS, additional_special_tokens: sentinels.toReversed() }
  writeJson(join(dir, 'special_tokens_map.json'), { ...named, additional_special_tokens: extra.additional_special_tokens })
  writeJson(join(dir, 'tokenizer_config.json'), {
    ...named,
    ...extra,
    model_max_length: maxLength,
    tokenizer_class: 'T5Tokenizer',
  })
}
