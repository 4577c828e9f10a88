import { NdArray } from '../../runtime/ndarray.ts'
import type { WorkingTextEncoder } from '../parts/text-encoder.ts'

/** A text as the prior and the decoder take it. */
export interface EncodedPrompt {
  /** In the space shared with pictures: f32 [1, P]. */
  readonly textEmbeds: NdArray<'f32'>
  /** After the last norm: f32 [1, M, D]. */
  readonly context: NdArray<'f32'>
  /** 1 for the text's tokens with its start and end, 0 for padding: f32 [1, M]. */
  readonly contextMask: NdArray<'f32'>
}

/** Texts for the prior. */
export async function encodePrompts(
  encoder: WorkingTextEncoder,
  texts: readonly string[],
  signal?: AbortSignal,
): Promise<EncodedPrompt[]> {
  const found: EncodedPrompt[] = []
  for (const text of texts) {
    signal?.throwIfAborted()
    const { ids, seen } = framed(encoder, text)
    const { states, pooled } = await encoder.encode([{ ids, weights: ids.map(() => 1) }], { skip: 0, norm: true })
    const mask = Float32Array.from(ids, (_, i) => (i < seen ? 1 : 0))
    found.push({
      textEmbeds: pooled as NdArray<'f32'>,
      context: states,
      contextMask: new NdArray(mask, [1, ids.length], 'f32'),
    })
  }
  return found
}

/** A text's states alone, after the last norm: f32 [1, M, D]. @param skip layers left out at the end */
export async function encodeStates(encoder: WorkingTextEncoder, text: string, skip = 0): Promise<NdArray<'f32'>> {
  const { ids } = framed(encoder, text)
  return (await encoder.encode([{ ids, weights: ids.map(() => 1) }], { skip, norm: true })).states
}

/** A text as it is, cut where the encoder's length ends, which is told; how many of the numbers are the text's with start and end. */
function framed({ tokenizer }: WorkingTextEncoder, text: string): { readonly ids: readonly number[]; readonly seen: number } {
  const tokens = tokenizer.encode(text)
  const ids = tokenizer.frame(tokens)
  const seen = Math.min(tokens.length + 2, ids.length)
  const left = tokens.slice(seen - 2)
  if (left.length > 0)
    console.warn(`the prompt is longer than ${ids.length - 2} tokens: its end is left out: ${tokenizer.decode(left)}`)
  return { ids, seen }
}
