export { blockCausalMask, blockTrainingMask } from './blocks.ts'
export { asSeddConfig, type MdlmConfig, mdlmConfig, mdlmSchema, seddConfig } from './config.ts'
export { scoreNats, tokenNats } from './losses.ts'
export { type KeysAndValues, type Mdlm, type MdlmOptions, type MdlmOutput, mdlm } from './network.ts'
