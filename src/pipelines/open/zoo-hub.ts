import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FolderError } from '../../checkpoints/errors.ts'
import { cacheOf } from '../../checkpoints/hub-access.ts'
import { cachedSnapshot, lacking, repositoryIn } from '../../checkpoints/hub-cache.ts'

/** The bundled models that the package leaves out, with the SHA-256 of each file; written by `npm run build`. */
type Manifest = Readonly<Record<string, Readonly<Record<string, string>>>>

const file = fileURLToPath(new URL('../../zoo.json', import.meta.url))
let manifest: Manifest | undefined

/** In the published package: every bundled model. In a clone, where zoo/ holds them, none. */
export const zooManifest = (): Manifest =>
  (manifest ??= existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Manifest) : {})

/** The organisation on the hub that holds the bundled models; `LANGEVIN_ZOO` names another, such as a mirror of your own. */
export const zooRepository = (name: string): string => `${process.env.LANGEVIN_ZOO || 'langevin-zoo'}/${name}`

/** The folder of a bundled model that `langevin pull` has brought, or undefined. */
export function pulledModel(name: string): string | undefined {
  if (!Object.hasOwn(zooManifest(), name)) return undefined
  const snapshot = cachedSnapshot(repositoryIn(cacheOf(), zooRepository(name)), 'main')
  return snapshot !== undefined && lacking(snapshot) === undefined ? snapshot : undefined
}

/**
 * Holds what was brought against what this version of langevin was built with.
 *
 * @throws FolderError that names the files that are missing or others
 */
export async function checkZooModel(name: string, folder: string, known: Manifest = zooManifest()): Promise<void> {
  const wrong: string[] = []
  for (const [path, sum] of Object.entries(known[name] ?? {})) {
    const hash = createHash('sha256')
    try {
      for await (const chunk of createReadStream(join(folder, path))) hash.update(chunk)
    } catch {
      wrong.push(`${path} is missing`)
      continue
    }
    if (hash.digest('hex') !== sum) wrong.push(`${path} is another`)
  }
  if (wrong.length > 0)
    throw new FolderError(folder, `not the model ${name} of this version of langevin: ${wrong.slice(0, 5).join(', ')}`)
}
