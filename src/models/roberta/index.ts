export { labelsOfClassifier, mostTokens, type RobertaConfig, robertaConfig, robertaSchema, ssdLmConfig } from './config.ts'
export { type Roberta, type RobertaOptions, roberta, robertaClassifier, robertaHead, type SsdLmInput, ssdLm } from './network.ts'
