export { blockCausalMask, blockTrainingMask } from './blocks.ts'
export { type MdlmConfig, mdlmConfig, mdlmSchema, seddConfig } from './config.ts'
export { type KeysAndValues, type Mdlm, type MdlmOptions, type MdlmOutput, mdlm } from './network.ts'
