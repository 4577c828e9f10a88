export { type JointBlock, type JointBlockOptions, jointBlock, type Streams } from './block.ts'
export { type MmditConfig, mmditConfig, mmditSchema } from './config.ts'
export { croppedPatches, type MmditConditions, type MmditTransformer, mmditTransformer, timeTextEmbedding } from './network.ts'
