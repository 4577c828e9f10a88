export { type JointBlock, type JointBlockOptions, jointBlock, type Streams } from './block.ts'
export { type MmditConfig, mmditConfig, mmditSchema } from './config.ts'
export {
  type Sd3ControlConditions,
  type Sd3ControlNet,
  type Sd3ControlNetConfig,
  sd3ControlNet,
  sd3ControlNetConfig,
} from './controlnet.ts'
export { croppedPatches, type MmditConditions, type MmditTransformer, mmditTransformer, timeTextEmbedding } from './network.ts'
export { type SingleBlock, type SingleBlockOptions, singleBlock } from './single-block.ts'
