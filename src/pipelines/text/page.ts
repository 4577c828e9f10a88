import { LanguageTokenizer } from '../../text/index.ts'
import { network } from '../open/parts.ts'
import { type LoadOptions, type Page, page } from '../page.ts'
import { languageModel, type MaskedClass } from '../parts/language-model.ts'
import { options } from './options.ts'
import { planOf, type TextModel } from './plan.ts'
import { write } from './write.ts'

const classes = ['LLaDAModelLM', 'DreamModel', 'MDLM', 'BD3LM', 'SEDD', 'AR'] as const satisfies readonly MaskedClass[]

/** Texts by masked diffusion: LLaDA, Dream, MDLM, SEDD and BD3-LM, and a causal twin of theirs, each by its own sampler. */
export const text: Page = page({
  classes,
  output: 'text',
  parts: {
    model: network(classes),
    tokenizer: { open: (source) => LanguageTokenizer.open(source.tokenizer('tokenizer', [])) },
  },
  options,
  loads: ['tokenizer', 'quantize'] as (keyof LoadOptions & string)[],
  open({ model, tokenizer }, { load, compile, done }): TextModel {
    const working = languageModel(model as never, compile, { quantize: load.quantize })
    return { network: model, working, tokenizer, compile, done, release: () => working.release() }
  },
  plan: (model, settings) => planOf(model, settings).plan,
  generate: write,
})
