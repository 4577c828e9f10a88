export { feedForwards, type T5Config, t5Config, t5Schema } from './config.ts'
export {
  isT5Decoder,
  renameT5,
  type T5Decoder,
  type T5Decoding,
  type T5Encoder,
  t5,
  t5Decoder,
  t5Encoder,
  t5EncoderWeights,
} from './t5.ts'
