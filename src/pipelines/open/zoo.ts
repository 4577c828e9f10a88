import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FolderError } from '../../checkpoints/errors.ts'
import { pulledModel, zooManifest } from './zoo-hub.ts'

const zoo = fileURLToPath(new URL('../../../zoo', import.meta.url))

/** Names of the models that come with the package. */
export function bundledModels(): string[] {
  if (!existsSync(zoo)) return []
  const signs = ['model_index.json', 'config.json']
  return readdirSync(zoo).filter((name) => signs.some((file) => existsSync(join(zoo, name, file))))
}

/**
 * The folder of a model: a path, or the name of a bundled one, which `langevin pull` may have brought.
 *
 * @throws FolderError that lists the bundled ones
 */
export function modelFolder(model: string): string {
  if (existsSync(model)) return model
  const bundled = bundledModels()
  if (bundled.includes(model)) return join(zoo, model)
  const pulled = pulledModel(model)
  if (pulled !== undefined) return pulled
  if (Object.hasOwn(zooManifest(), model))
    throw new FolderError(model, `this bundled model is not in the package: \`langevin pull ${model}\` brings it`)
  throw new FolderError(model, `no such folder, and no bundled model of this name; bundled: ${bundled.join(', ') || 'none'}`)
}
