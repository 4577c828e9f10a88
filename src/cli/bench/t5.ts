import { join } from 'node:path'
import { loadConfig, openWeights } from '../../checkpoints/folder.ts'
import { input } from '../../core/tensor.ts'
import { type T5Config, t5Config, t5Encoder } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/index.ts'
import { cacheFolder } from '../../runtime/node/cache.ts'
import { Generator } from '../../runtime/random.ts'
import { runsOf, type Subject, writeSubject } from './forms.ts'
import type { Form } from './sd-unet.ts'

/** The encoder of T5 v1.1 XL: 1,223,527,424 parameters, 24 blocks. */
const xl = {
  ...{ vocab_size: 32128, d_model: 2048, d_kv: 64, d_ff: 5120, num_layers: 24, num_heads: 32 },
  ...{ feed_forward_proj: 'gated-gelu', tie_word_embeddings: false },
}

/** As many as Stable Diffusion 3 reads of a prompt. */
const TOKENS = 256

const trace = (params: Params, config: T5Config, tokens: number) => t5Encoder(params, config)(input('tokens', [1, tokens], 'i64'))

function subjectOf(config: T5Config, tokens: number): Subject {
  // transformers refuses 1 for a field that is 1.0 there, and JSON has one spelling of both.
  const { initializer_factor: _, ...fields } = config
  const ids = new Generator(0).randint(0, config.vocab_size, [1, tokens]).data
  return {
    fields: { architectures: ['T5EncoderModel'], ...fields },
    weights() {
      const params = new Params()
      trace(params, config, tokens)
      return params.initialise(new Generator(0))
    },
    computation: (dir) => ({
      outputs: { states: trace(new Params(), t5Config(loadConfig(dir), dir), tokens) },
      weights: openWeights(dir),
    }),
    feeds: { tokens: new NdArray(BigInt64Array.from(ids, BigInt), [1, tokens], 'i64') },
  }
}

/**
 * The folder of an encoder with random weights in float16: 2.4 GB, written once and kept in the cache. `LANGEVIN_BENCH_LAYERS` makes one
 * of fewer blocks.
 */
export async function t5Checkpoint(layers = Number(process.env.LANGEVIN_BENCH_LAYERS) || xl.num_layers): Promise<string> {
  return writeT5(join(cacheFolder('bench'), `t5-v1.1-xl-${layers}`), t5Config({ ...xl, num_layers: layers }))
}

export const writeT5 = (dir: string, config: T5Config, tokens = TOKENS): Promise<string> =>
  writeSubject(dir, subjectOf(config, tokens))

/** A run is a prompt; the first run opens the checkpoint too. */
export const t5Prompt = (dir: string, form: Form, tokens = TOKENS) =>
  runsOf(dir, form, subjectOf(t5Config(loadConfig(dir), dir), tokens))
