export { type ComponentFile, type ComponentFileOptions, fromComponentFile } from './component-files.ts'
export { ConfigError, FolderError, PickleError, SafetensorsError, SaveError, ShardError } from './errors.ts'
export {
  type Component,
  type Config,
  loadConfig,
  type ModelIndex,
  openWeights,
  readModelIndex,
  saveConfig,
  saveModel,
  writeModelIndex,
} from './folder.ts'
export type { Header } from './header.ts'
export {
  fetchModel,
  HubError,
  type HubOptions,
  type HubProgress,
  type PulledModel,
  type PullOptions,
  pullModel,
  type ResolvedModel,
  resolveLora,
  resolveModel,
} from './hub.ts'
export { type Lora, LoraError, type LoraWeight, type MergeOptions, mergeLoras, openLora } from './lora.ts'
export { CheckpointError, type Expected, type Mismatch, matchWeights } from './match.ts'
export { fromOpenAIClip } from './openai-clip.ts'
export { openSafetensors, parseHeader, readTensor, type SaveFloat, writeSafetensors } from './safetensors.ts'
export { fromSd3, toSd3 } from './sd3-keys.ts'
export { openSharded } from './sharded.ts'
export { type Family, familyOf, fromSingleFile, type SingleFile, SingleFileError, toSingleFile } from './single-file.ts'
export { kindOf, type SingleFileKind, type Task } from './single-file-configs.ts'
export { openWeightFile, type WeightFile } from './weight-file.ts'
