import { readTensor } from '../checkpoints/safetensors.ts'
import { openWeightFile } from '../checkpoints/weight-file.ts'
import { ArgumentError, LangevinError, ShapeError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { basename, extname } from '../runtime/system.ts'
import type { FileTensor, Weights } from '../runtime/weights.ts'
import type { ClipTokenizer } from './tokenizer.ts'

/** A textual-inversion embedding (Gal et al. 2022): what stands for a token in each text encoder. */
export interface TextualInversion {
  /** As prompts write it. */
  readonly token: string
  /** f32 [vectors, D] of the first encoder; of XL's second. Files for XL have both. */
  readonly first: NdArray<'f32'>
  readonly second?: NdArray<'f32'>
}

/** A file that holds no textual-inversion embedding, or more than one. */
export class InversionError extends LangevinError {}

/**
 * Reads a textual-inversion embedding, as safetensors or as `.pt` and `.bin` of PyTorch's: `emb_params`, or one tensor under the
 * token's own name (diffusers); `string_to_param` (AUTOMATIC1111); `clip_l` and `clip_g` for XL.
 *
 * @param token as prompts write it; by default the tensor's name, the one that the file names, or the file's own
 * @throws InversionError; what `openWeightFile` does
 */
export function readInversion(file: string, token?: string): TextualInversion {
  const { tensors, metadata } = openWeightFile(file)
  const named = token ?? basename(file, extname(file))
  const found = known(tensors, named, file)
  if (found) return found
  const [only, ...others] = tensors.keys()
  if (only !== undefined && others.length === 0) {
    const ofWebui = only.startsWith(WEBUI)
    return { token: token ?? (ofWebui ? metadata.name || named : only), first: take(tensors, only, file) }
  }
  throw new InversionError(
    `${file}: expected emb_params, clip_l and clip_g, or one tensor named as the token; got ${[...tensors.keys()].slice(0, 5).join(', ') || 'none'}`,
  )
}

/**
 * The embeddings that a LoRA's file carries beside its own tensors (`bundle_emb.NAME.…`), NAME being the token.
 *
 * @param place what errors call the file
 * @throws InversionError
 */
export function bundledInversions(tensors: Weights, place: string): TextualInversion[] {
  const bundles = new Map<string, Map<string, NdArray | FileTensor>>()
  for (const [key, tensor] of tensors) {
    const [, name, rest] = /^bundle_emb\.([^.]+)\.(.+)$/.exec(key) ?? []
    if (name === undefined || rest === undefined) continue
    bundles.set(name, (bundles.get(name) ?? new Map()).set(rest, tensor))
  }
  return [...bundles].map(([name, own]) => {
    const webui = [...own.keys()].find((key) => key.startsWith(WEBUI))
    const found = known(own, name, place) ?? (webui === undefined ? undefined : { token: name, first: take(own, webui, place) })
    if (found) return found
    const got = [...own.keys()].join(', ')
    throw new InversionError(
      `${place}: bundle_emb.${name}: expected emb_params, string_to_param, or clip_l and clip_g; got ${got}`,
    )
  })
}

const WEBUI = 'string_to_param.'

/** An embedding under one of the names that say what it is. */
function known(tensors: Weights, token: string, place: string): TextualInversion | undefined {
  if (tensors.has('clip_l') && tensors.has('clip_g'))
    return { token, first: take(tensors, 'clip_l', place), second: take(tensors, 'clip_g', place) }
  return tensors.has('emb_params') ? { token, first: take(tensors, 'emb_params', place) } : undefined
}

const take = (tensors: Weights, key: string, place: string) => vectors(tensors.get(key) as NdArray | FileTensor, place, key)

function vectors(tensor: NdArray | FileTensor, file: string, key: string): NdArray<'f32'> {
  const array = readTensor(tensor).cast('f32')
  const [count, width] = array.shape.length === 1 ? [1, array.size] : array.shape
  if (array.shape.length > 2 || !count || !width) {
    throw new InversionError(`${file}: ${key}: expected [vectors, width], got [${array.shape.join(', ')}]`)
  }
  return new NdArray(array.data, [count, width], 'f32')
}

/** The key of the table that embeds tokens. */
const tableKey = 'text_model.embeddings.token_embedding.weight'

/**
 * A text encoder with textual-inversion embeddings: its tokenizer with their tokens, and its weights with a longer table of tokens (`vocab_size`
 * of the config is then the tokenizer's `size`). No other tensor is touched or copied.
 *
 * @param which of an embedding's vectors: those of the first encoder or of XL's second
 * @throws ArgumentError, ShapeError
 */
export function addInversions(
  { tokenizer, weights }: { tokenizer: ClipTokenizer; weights: Weights },
  inversions: readonly TextualInversion[],
  which: 'first' | 'second' = 'first',
): { tokenizer: ClipTokenizer; weights: Weights } {
  if (inversions.length === 0) return { tokenizer, weights }
  const stored = weights.get(tableKey)
  if (!stored) throw new ArgumentError(`textual inversion: the weights have no ${tableKey}`)
  const [rows, width] = stored.shape as [number, number]
  if (rows !== tokenizer.size) {
    throw new ShapeError(
      `textual inversion: the tokenizer has ${tokenizer.size} tokens and ${tableKey} ${rows} rows: they belong to different models`,
    )
  }
  const added = inversions.map(({ token, [which]: own }) => {
    if (!own)
      throw new ArgumentError(`textual inversion: "${token}" has no vectors for the second text encoder: it is not for XL`)
    if (own.shape[1] !== width)
      throw new ShapeError(
        `textual inversion: "${token}" has width ${own.shape[1]} and the text encoder ${width}: it was trained with another model`,
      )
    return [token, own] as const
  })
  const counts = new Map(added.map(([token, { shape }]) => [token, shape[0] as number]))
  if (counts.size < added.length) throw new ArgumentError('textual inversion: two files are for one token; name one otherwise')
  const table = readTensor(stored).cast('f32')
  return {
    tokenizer: tokenizer.with(counts),
    weights: new Map([...weights, [tableKey, NdArray.concat([table, ...added.map(([, own]) => own)])]]),
  }
}
