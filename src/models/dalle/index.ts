export {
  type DalleConfig,
  dalleConfig,
  dalleSchema,
  lengthsOf,
  paperAttention,
  paperFields,
  textInput,
  textVocabulary,
} from './config.ts'
export { isDalleBuffer, renameDalle } from './keys.ts'
export { type DalleLoss, dalleLoss } from './loss.ts'
export { type AttentionType, attentionMask, attentionTypes } from './masks.ts'
export { type Dalle, type DalleOutput, dalle } from './network.ts'
export type { Past, Remembered } from './passes.ts'
export { chooseTokens, type TokenChoice } from './sampling.ts'
