export { type PixartConfig, pixartConfig, pixartSchema, takesSize } from './config.ts'
export {
  type CrossBlock,
  type CrossBlockOptions,
  crossBlock,
  type PixartConditions,
  type PixartTransformer,
  pixartTransformer,
  textProjection,
} from './network.ts'
