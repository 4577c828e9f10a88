export { type VideoVaeConfig, videoFactors, videoVaeConfig, videoVaeSchema } from './config.ts'
export { videoVae } from './network.ts'
