import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import { input } from '../../core/tensor.ts'
import { dalle, dalleLoss, lengthsOf, textInput } from '../../models/dalle/index.ts'
import { Params } from '../../nn/params.ts'
import { openDalle, tokenCoder } from '../../pipelines/index.ts'
import { parts } from '../../pipelines/options.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import type { ScenesConfig } from '../data.ts'
import { heldOutSet } from '../held-out.ts'
import { perplexityOf } from '../tasks/discrete-autoencoder/usage.ts'
import type { Estimate } from './likelihood.ts'

/** What a transformer of captions and image tokens knows of the tokens of test pictures. */
export interface TokenQuality {
  readonly captions: number
  /** Bits of an image token after its own caption, after another picture's, and after none. */
  readonly told: Estimate
  readonly shuffled: Estimate
  readonly untold: Estimate
  /** Bits that a token has where nothing is known but how many codes there are, and where their frequencies in these pictures are. */
  readonly uniform: number
  readonly frequencies: number
}

/** Whether a model's folder is a DALL·E. */
export const isDalle = (model: string): boolean =>
  existsSync(join(model, 'model_index.json')) && readJson(join(model, 'model_index.json'))._class_name === 'DallePipeline'

const BATCH = 20

/** Measures a DALL·E by the bits of image tokens on test captions, with right captions, others and none. */
export async function measureTokens(
  folder: string,
  count: number,
  data: ScenesConfig,
  engine: CompileOptions,
): Promise<TokenQuality> {
  const { transformer, dvae, tokenizer } = await openDalle(folder)
  const { config, weights } = transformer
  const coder = tokenCoder(dvae, engine)
  const { text: words, image: cells } = lengthsOf(config)
  const { scenes, captions, render } = await heldOutSet(data, 'test', { size: config.image_fmap_size * coder.factor, count })
  const tokens = (await coder.encode(render(scenes))).reshape([captions.length, cells])
  await coder.release()
  const sets = {
    told: captions,
    shuffled: captions.map((_, i) => captions[(i + 1) % captions.length] as string),
    untold: captions.map(() => ''),
  }
  const found: Record<keyof typeof sets, number[]> = { told: [], shuffled: [], untold: [] }
  for (const [from, to] of parts(captions.length, BATCH)) {
    const B = to - from
    const [text, image] = [input('text', [B, words], 'i64'), input('image', [B, cells], 'i64')]
    const { imageNats } = dalleLoss(dalle(new Params(), config), config, text, image)
    const program = await compile({ outputs: { bits: imageNats.mean(1).div(Math.LN2) }, weights }, engine)
    for (const [name, list] of Object.entries(sets)) {
      const ids = list.slice(from, to).flatMap((caption) => textInput(tokenizer.encode(caption), config))
      const feeds = { text: new NdArray(BigInt64Array.from(ids, BigInt), [B, words], 'i64'), image: tokens.slice(0, from, to) }
      found[name as keyof typeof sets].push(...((await program.run(feeds)).bits as NdArray<'f32'>).data)
    }
    await program.release()
  }
  const estimate = (values: readonly number[]): Estimate => {
    const all = NdArray.from(values)
    return { mean: all.mean().item(), error: all.std().item() / Math.sqrt(values.length) }
  }
  return {
    captions: captions.length,
    told: estimate(found.told),
    shuffled: estimate(found.shuffled),
    untold: estimate(found.untold),
    uniform: Math.log2(coder.codes),
    frequencies: Math.log2(perplexityOf(tokens, coder.codes)),
  }
}
