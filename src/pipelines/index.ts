export { type Classification, type ImageClassifier, loadClassifier } from './classifier.ts'
export { createDdpm, type Ddpm, type DdpmParts, ddpmOptions, loadDdpm, type SampleOptions, type SampleProgress } from './ddpm.ts'
export { finish, type SamplerName, samplerNames, samplers } from './options.ts'
export { bundledModels, modelFolder } from './zoo.ts'
