export { type T2IAdapter, t2iAdapter } from './adapter.ts'
export {
  type ControlNetConfig,
  controlNetConfig,
  controlNetSchema,
  type T2IAdapterConfig,
  t2iAdapterConfig,
  t2iAdapterSchema,
} from './config.ts'
export {
  type Control,
  type ControlNet,
  controlNet,
  controlNetWeights,
  controlScales,
  scaleControl,
  sumControl,
} from './network.ts'
