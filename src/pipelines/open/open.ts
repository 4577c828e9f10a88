import { resolveModel } from '../../checkpoints/index.ts'
import { existsSync } from '../../runtime/system.ts'
import { dallePytorchSource } from './dalle-pytorch.ts'
import { folderSource } from './folder.ts'
import { glideSource } from './glide.ts'
import { hubOptions } from './network.ts'
import { fileSource } from './single-file.ts'
import type { ModelSource, OpenOptions } from './source.ts'
import { bundledModels, modelFolder } from './zoo.ts'

/**
 * Finds a model: a folder in diffusers' layout or of GLIDE's files, a single-file checkpoint (also DALLE-pytorch's), a bundled model, or a name on the hub.
 *
 * @throws HubError, FolderError, ConfigError, SafetensorsError, SingleFileError
 */
export async function openSource(model: string, options: OpenOptions = {}): Promise<ModelSource> {
  if (!existsSync(model) && bundledModels().includes(model)) return folderSource(modelFolder(model), options)
  const { kind, path } = await resolveModel(model, hubOptions(options))
  if (kind === 'folder') return glideSource(path) ?? folderSource(path, options)
  return dallePytorchSource(path, options) ?? fileSource(path, options)
}
