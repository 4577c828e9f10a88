import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import type { ClipTokenizer } from '../../text/index.ts'
import type { Releasable } from '../page.ts'
import { t5Encoder, t5Length } from '../parts/t5-encoder.ts'
import { type EncodedText, textEncoder } from '../parts/text-encoder.ts'
import type { Components } from './components.ts'
import type { Settings } from './options.ts'

/** What the transformer is conditioned on by a prompt. */
export interface Condition {
  /** CLIP's states, then T5's: f32 [1, 77 + maxLength, joint_attention_dim]. */
  readonly context: NdArray<'f32'>
  /** f32 [1, pooled_projection_dim]. */
  readonly pooled: NdArray<'f32'>
}

type PromptSettings = Pick<
  Settings,
  'prompt' | 'prompt2' | 'prompt3' | 'negative' | 'negative2' | 'negative3' | 'maxLength' | 'clipSkip'
>

export interface Prompts extends Releasable {
  /** The prompt's condition, and before it the negative's where it counts. */
  encode(settings: PromptSettings, guided: boolean): Promise<Condition[]>
}

/** Tokens that CLIP reads, where no encoder says it. */
const CLIP_TOKENS = 77

/**
 * Prompts to conditions, as diffusers' `encode_prompt` does for Stable Diffusion 3: both CLIPs' states before the last layer side by
 * side, T5's behind them. What an encoder that is left out would give is zeros.
 *
 * @param done frees an encoder after its work, unless it is kept
 */
export function prompts(
  { clips, t5, transformer: { config }, place }: Components,
  compile: CompileOptions,
  done: (part: Releasable) => Promise<void>,
): Prompts {
  const working = clips.map((encoder) => encoder && textEncoder(encoder, compile))
  const third = t5 && t5Encoder(t5, compile)
  const widths = clipWidths(clips, config.pooled_projection_dim)
  const tokens = clips.find((one) => one !== undefined)?.tokenizer.maxLength ?? CLIP_TOKENS
  const joint = config.joint_attention_dim

  return {
    async encode(settings, guided) {
      const { prompt, clipSkip = 0, negative = '', maxLength = t5 ? t5Length(t5) : 256 } = settings
      // In diffusers an empty second or third prompt is none.
      const texts = [
        [prompt, settings.prompt2 || prompt, settings.prompt3 || prompt],
        [negative, settings.negative2 || negative, settings.negative3 || negative],
      ]
      const wanted = guided ? [...texts].reverse() : texts.slice(0, 1)
      const found: EncodedText[][] = []
      for (const [i, encoder] of working.entries()) {
        const { width, pooled } = widths[i] as Width
        const each: EncodedText[] = []
        for (const text of wanted) {
          // In diffusers only the prompt skips layers.
          const skip = text === texts[0] ? clipSkip : 0
          if (encoder)
            each.push(await encoder.encode([chunkOf(encoder.tokenizer, text[i] as string, clips[i]?.name)], layerOf(i, skip)))
          else each.push({ states: NdArray.zeros([1, tokens, width]), pooled: NdArray.zeros([1, pooled]) })
        }
        if (encoder) await done(encoder)
        found.push(each)
      }
      const behind: NdArray<'f32'>[] = []
      for (const [, , text] of wanted as [string, string, string][]) {
        // Padding is attended to here, and its states count.
        const reading = { length: maxLength, masked: false }
        if (!third) {
          behind.push(NdArray.zeros([1, maxLength, joint]))
          continue
        }
        const { states, left } = await third.encode(text, reading)
        tellOfCut(t5?.name, maxLength, left, '; maxLength gives more, up to 512')
        behind.push(states)
      }
      if (third) await done(third)
      return wanted.map((_, k) => {
        const [first, second] = found.map((each) => each[k]) as [EncodedText, EncodedText]
        const states = padded(NdArray.concat([first.states, second.states], 2), joint)
        return {
          context: NdArray.concat([states, behind[k] as NdArray<'f32'>], 1),
          pooled: NdArray.concat([first.pooled as NdArray<'f32'>, second.pooled as NdArray<'f32'>], 1),
        }
      })
    },
    async release() {
      for (const encoder of [...working, third]) await encoder?.release()
    },
  }

  function layerOf(i: number, clipSkip: number) {
    const layers = clips[i]?.config.num_hidden_layers as number
    if (1 + clipSkip > layers)
      throw new ArgumentError(
        `clipSkip: ${clipSkip} of the ${layers} layers of ${place}'s ${clips[i]?.name}: give ${layers - 1} at most`,
      )
    return { skip: 1 + clipSkip, norm: false }
  }
}

interface Width {
  readonly width: number
  readonly pooled: number
}

/** How wide each CLIP's states and pooled text are; one that is left out has the rest of the pooled texts. */
function clipWidths(clips: Components['clips'], pooled: number): Width[] {
  const known = clips.map((one) => one && { width: one.config.hidden_size, pooled: one.config.projection_dim })
  const rest = pooled - known.reduce((all, one) => all + (one?.pooled ?? 0), 0)
  return known.map((one, i) => {
    if (one) return one
    const own = known[1 - i] || i === 0 ? rest : 0
    return { width: own, pooled: own }
  })
}

/** A text as the encoder reads it: what it has no place for is cut off. */
function chunkOf(tokenizer: ClipTokenizer, text: string, name: string | undefined) {
  const all = tokenizer.encode(text)
  tellOfCut(name, tokenizer.maxLength, all.length + 2 - tokenizer.maxLength)
  const ids = tokenizer.frame(all)
  return { ids, weights: ids.map(() => 1) }
}

/** Cutting is diffusers'; that it happened is told. */
function tellOfCut(name: string | undefined, most: number, left: number, remedy = ''): void {
  if (left > 0)
    console.warn(`the prompt is too long for ${name}, which reads ${most} tokens: its last ${left} are cut off${remedy}`)
}

/** Zeros behind the channels. */
function padded(states: NdArray<'f32'>, width: number): NdArray<'f32'> {
  const [B, N, D] = states.shape as [number, number, number]
  return D === width ? states : NdArray.concat([states, NdArray.zeros([B, N, width - D])], 2)
}
