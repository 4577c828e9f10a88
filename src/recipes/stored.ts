import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { FolderError, loadConfig, matchWeights, openWeights, readTensor } from '../checkpoints/index.ts'
import { ArgumentError } from '../core/errors.ts'
import { type Classifier, type ClassifierConfig, classifier, classifierConfig } from '../models/classifier/index.ts'
import { Params } from '../nn/params.ts'
import { bundledModels, modelFolder } from '../pipelines/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Weights } from '../runtime/weights.ts'

/** @throws ArgumentError unless a recipe gives exactly one of these fields */
export function checkOneOf(recipe: string, fields: Readonly<Record<string, unknown>>): void {
  if (Object.values(fields).filter((value) => value !== undefined).length !== 1)
    throw new ArgumentError(`${recipe}: give either ${Object.keys(fields).join(' or ')}`)
}

/** A stored model's parameters in memory, f32. */
export function valuesIn(folder: string, params: Params): Map<string, NdArray> {
  return inMemory(matchWeights(params.tensors, openWeights(folder), { place: folder }))
}

/** Weights as arrays, f32. */
export const inMemory = (weights: Weights): Map<string, NdArray> =>
  new Map([...weights].map(([key, value]) => [key, (value instanceof NdArray ? value : readTensor(value)).cast('f32')]))

/** A stored classifier that does not learn, traced for pictures of any size: its layers are convolutions. */
export function frozenClassifier(folder: string, size: number): Classifier {
  const config: ClassifierConfig = { ...classifierConfig(loadConfig(folder), join(folder, 'config.json')), sample_size: size }
  const params = new Params()
  classifier(params, config)
  return classifier(Params.frozen(valuesIn(folder, params)), config)
}

/**
 * The folder of a model that a recipe builds on: a path, the name of a bundled one, or of a run that `langevin train` has finished.
 *
 * @throws FolderError that says how to train it
 */
export function trainedModel(name: string): string {
  if (existsSync(name) || bundledModels().includes(name)) return modelFolder(name)
  const run = join('runs', name, 'model')
  if (existsSync(run)) return run
  throw new FolderError(name, `is needed first, here or as ${run}: train it with langevin train ${name}`)
}

/** The same of any model: a name on the hub stays as it is. */
export function modelPath(name: string): string {
  const onHub = !existsSync(name) && !bundledModels().includes(name) && /^[\w.-]+\/[\w.-]+$/.test(name)
  return onHub ? name : trainedModel(name)
}
