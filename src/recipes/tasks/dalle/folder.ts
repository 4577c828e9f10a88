import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import { openAIDiscreteVAE, openAIDiscreteVAEConfig } from '../../../models/dvae/index.ts'
import { Params } from '../../../nn/params.ts'
import type { DalleParts, TokenNetwork } from '../../../pipelines/index.ts'
import { saveTokenizer } from '../../../text/index.ts'

/** The discrete autoencoder of a folder. */
export function storedDiscreteAutoencoder(dir: string): TokenNetwork & { readonly className: 'OpenAIDiscreteVAE' } {
  const config = openAIDiscreteVAEConfig(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  openAIDiscreteVAE(p, config)
  return { className: 'OpenAIDiscreteVAE', config, weights: matchWeights(p.tensors, openWeights(dir), { place: dir }) }
}

/** All parts as one folder that `loadPipeline` opens, its weights as float16. */
export function saveDalle(dir: string, { transformer, dvae, tokenizer }: DalleParts, ranker: string): void {
  const half = { dtype: 'f16' } as const
  saveModel(join(dir, 'transformer'), { _class_name: 'DALLE', ...transformer.config }, transformer.weights, half)
  saveModel(join(dir, 'dvae'), { _class_name: dvae.className, ...dvae.config }, dvae.weights, half)
  saveTokenizer(join(dir, 'tokenizer'), tokenizer.pairs, { maxLength: tokenizer.maxLength })
  const component = (library: string, className: string) => ({ library, className })
  writeModelIndex(dir, {
    _class_name: 'DallePipeline',
    components: new Map([
      ['dvae', component('langevin', dvae.className)],
      ['transformer', component('langevin', 'DALLE')],
      ['tokenizer', component('transformers', 'CLIPTokenizer')],
    ]),
    options: { ranker },
  })
}
