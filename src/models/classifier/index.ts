export { type ClassifierConfig, classifierConfig, classifierSchema } from './config.ts'
export { type Classified, type Classifier, classifier } from './network.ts'
export { perceptualDistance } from './perceptual.ts'
