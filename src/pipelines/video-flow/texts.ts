import { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import type { Releasable } from '../page.ts'
import { type T5TextEncoder, t5Encoder, t5Length } from '../parts/t5-encoder.ts'
import { type TextEncoder, textEncoder } from '../parts/text-encoder.ts'

interface Encoders {
  readonly clip: TextEncoder
  readonly t5: T5TextEncoder
  /** Of the states together. */
  readonly width: number
}

/** A text as Stable Diffusion 3 has it, of one CLIP: its states before the last layer, zeros behind their channels, and then T5's. */
export interface VideoTexts extends Releasable {
  encode(text: string): Promise<{ readonly context: NdArray<'f32'>; readonly pooled: NdArray<'f32'> }>
}

export function videoTexts({ clip, t5, width }: Encoders, compile: CompileOptions): VideoTexts {
  const [first, second] = [textEncoder(clip, compile), t5Encoder(t5, compile)]
  const length = t5Length(t5)
  return {
    async encode(text) {
      const ids = clip.tokenizer.frame(clip.tokenizer.encode(text))
      const told = await first.encode([{ ids, weights: ids.map(() => 1) }], { skip: 1, norm: false })
      const [B, N, D] = told.states.shape as [number, number, number]
      const states = D === width ? told.states : NdArray.concat([told.states, NdArray.zeros([B, N, width - D])], 2)
      const behind = await second.encode(text, { length, masked: false })
      for (const left of [clip.tokenizer.encode(text).length + 2 - clip.tokenizer.maxLength, behind.left])
        if (left > 0) console.warn(`the prompt is too long for this model: its last ${left} tokens are cut off`)
      return { context: NdArray.concat([states, behind.states], 1), pooled: told.pooled as NdArray<'f32'> }
    },
    async release() {
      await first.release()
      await second.release()
    },
  }
}
