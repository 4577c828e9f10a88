import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { lengthsOf } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { numOption, seedOption } from '../options.ts'
import { type LoadOptions, type Page, page } from '../page.ts'
import { tokenCoder } from '../parts/token-coder.ts'
import { dalleParts, textTokens } from './caption-batches.ts'
import { tokenSampler } from './sampler.ts'

const options = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  temperature: z
    .number()
    .positive()
    .default(1)
    .meta({ description: 'of the choice of image tokens; less is nearer to the likeliest' }),
  topK: z
    .int()
    .positive()
    .optional()
    .meta({ description: 'how many of the likeliest image tokens are chosen from; all unless given' }),
  guidance: z.number().default(1).meta({ description: 'how strongly the prompt guides; 1 is not at all' }),
  seed: seedOption,
  num: numOption,
})

/** Pictures from a prompt, a token after another (Ramesh et al. 2021): DALL·E 1 with OpenAI's discrete autoencoder or DALLE-pytorch's. */
export const dalle: Page = page({
  classes: ['DallePipeline'],
  output: 'pictures',
  parts: dalleParts,
  options,
  loads: ['tokenizer'] as (keyof LoadOptions & string)[],
  open({ dvae, transformer, tokenizer }, { compile, done }) {
    const { config, place } = transformer
    const coder = tokenCoder(dvae, compile)
    if (coder.codes !== config.num_image_tokens)
      throw new ArgumentError(
        `${place}: the transformer knows ${config.num_image_tokens} codes, and the autoencoder has ${coder.codes}`,
      )
    const sampler = tokenSampler(transformer, compile)
    return {
      ...{ coder, sampler, tokenizer, config, place, done },
      async release() {
        await coder.release()
        await sampler.release()
      },
    }
  },
  plan({ config: { num_image_tokens: codes } }, { temperature, topK, guidance }) {
    return {
      className: 'DallePipeline',
      settings: {
        'CFG scale': guidance === 1 ? undefined : guidance,
        Temperature: temperature,
        'Top-k': topK === undefined ? undefined : Math.min(topK, codes),
      },
    }
  },
  async *generate({ coder, sampler, tokenizer, config, place, done }, { prompt, signal, num, ...run }) {
    const { text_seq_len: most, image_fmap_size: side } = config
    const { text, left } = textTokens(tokenizer, config, place, prompt)
    if (left > 0) console.warn(`the prompt is longer than ${most} tokens: its last ${left} were left`)
    const { image: cells } = lengthsOf(config)
    const pictures = async (tokens: NdArray<'i64'>) => {
      const [count, known] = tokens.shape as [number, number]
      // Places that have no token yet are as the last that has one.
      const rest = cells === known ? [] : [tokens.slice(1, known - 1, known).expand([count, cells - known])]
      const grid = NdArray.concat([tokens, ...rest], 1).reshape([count, side, side])
      return { type: 'pictures', pictures: await coder.decode(grid) } as const
    }
    const sampling = sampler.sample({ ...run, texts: Array.from({ length: num }, () => text), signal })
    let next = await sampling.next()
    for (; !next.done; next = await sampling.next()) {
      const { first, i, done: calls, total, tokens } = next.value
      yield { picture: first, i, done: calls, total, latents: tokens, preview: () => pictures(tokens) }
    }
    await done(sampler)
    const result = await pictures(next.value)
    await done(coder)
    return result
  },
})
