import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights, readTensor } from '../checkpoints/index.ts'
import { type Classifier, type ClassifierConfig, classifier, classifierConfig } from '../models/classifier/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'

/** A stored model's parameters in memory, f32. */
export function valuesIn(folder: string, params: Params): Map<string, NdArray> {
  const weights = matchWeights(params.tensors, openWeights(folder), { place: folder })
  return new Map([...weights].map(([key, value]) => [key, (value instanceof NdArray ? value : readTensor(value)).cast('f32')]))
}

/** A stored classifier that does not learn, drawn for pictures of any size: its layers are convolutions. */
export function frozenClassifier(folder: string, size: number): Classifier {
  const config: ClassifierConfig = { ...classifierConfig(loadConfig(folder), join(folder, 'config.json')), sample_size: size }
  const params = new Params()
  classifier(params, config)
  return classifier(Params.frozen(valuesIn(folder, params)), config)
}
