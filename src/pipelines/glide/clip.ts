import { ConfigError } from '../../checkpoints/index.ts'
import { grad } from '../../core/grad.ts'
import { input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { existsSync, join } from '../../runtime/system.ts'
import { ClipTokenizer, mergesIn, unescapeText } from '../../text/index.ts'
import { build } from '../open/classes.ts'
import type { OpenedNetwork } from '../open/network.ts'
import type { ModelSource } from '../open/source.ts'
import type { Releasable } from '../page.ts'
import { turns } from '../parts/turns.ts'

/** GLIDE's noised CLIP at work. */
export interface NoisedClip extends Releasable {
  /** ∇ₓ scale · z_text · z_picture(xₜ, t) for a prompt (Nichol et al. 2021, section 2.4): x [1, 3, S, S] → the same shape. */
  gradient(prompt: string): Promise<(x: NdArray, t: number) => Promise<NdArray<'f32'>>>
}

export function noisedClip(
  image: OpenedNetwork<'GlideClipImage'>,
  text: OpenedNetwork<'GlideClipText'>,
  tokenizer: ClipTokenizer,
  options: CompileOptions,
): NoisedClip {
  const { config } = image
  const turn = turns()
  const programs = new Programs((side: 'text' | 'image') => {
    const p = new Params()
    if (side === 'text') {
      const embed = build('GlideClipText', p, config)
      const made = embed(input('tokens', [1, config.max_text_len], 'i64'), input('end', [1], 'i64'))
      return compile({ outputs: { made }, weights: text.weights }, options)
    }
    const x = input('x', [1, 3, config.image_size, config.image_size])
    const seen = build('GlideClipImage', p, config)(x, input('t', [1], 'i64'))
    const likeness = seen
      .mul(input('said', [1, config.n_embd]))
      .sum()
      .mul(config.logit_scale)
    const [gradient] = grad(likeness, [x])
    return compile({ outputs: { gradient: gradient as NonNullable<typeof gradient> }, weights: image.weights }, options)
  })
  const whole = (value: number) => new NdArray(BigInt64Array.of(BigInt(value)), [1], 'i64')
  return {
    async gradient(prompt) {
      const said = await turn(async () => {
        const ids = [tokenizer.start, ...tokenizer.encode(unescapeText(prompt)).slice(0, config.max_text_len - 2), tokenizer.end]
        const padded = [...ids, ...Array<number>(config.max_text_len - ids.length).fill(0)]
        const tokens = new NdArray(BigInt64Array.from(padded, BigInt), [1, config.max_text_len], 'i64')
        return (await (await programs.get('text')).run({ tokens, end: whole(ids.length - 1) })).made as NdArray<'f32'>
      })
      return (x, t) =>
        turn(async () => {
          const program = await programs.get('image')
          return (await program.run({ x: x.cast('f32'), t: whole(t), said })).gradient as NdArray<'f32'>
        })
    },
    release: () => turn(() => programs.release()),
  }
}

/** CLIP's vocabulary as OpenAI has it, of which the first line and what lies beyond 49,152 tokens do not count; or a folder's. */
export function clipTokenizerIn(source: ModelSource): ClipTokenizer {
  const name = 'bpe_simple_vocab_16e6.txt'
  const file = [name, `${name}.gz`].map((one) => join(source.place, one)).find((path) => existsSync(path))
  if (file !== undefined) return ClipTokenizer.ofMerges(mergesIn(file, 49152 - 256 - 2))
  const folder = source.beside('clip_tokenizer')
  if (existsSync(folder)) return ClipTokenizer.open(folder)
  throw new ConfigError(
    join(source.place, name),
    "no such file: CLIP's vocabulary, which guidance by it needs; or its files in clip_tokenizer/",
  )
}
