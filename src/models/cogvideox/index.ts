export { cogVideoXVae, type FilmAutoencoder } from './autoencoder.ts'
export {
  type CogVideoXConfig,
  type CogVideoXVaeConfig,
  cogVideoXConfig,
  cogVideoXSchema,
  cogVideoXVaeConfig,
  cogVideoXVaeSchema,
} from './config.ts'
export { type CogVideoXConditions, type CogVideoXTransformer, cogVideoXTransformer } from './network.ts'
