export { type IpAdapter, type IpAdapterConfig, imagePromptWeights, readIpAdapter } from './config.ts'
export { imagePromptProjection } from './projection.ts'
