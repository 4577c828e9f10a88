import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { enginePackage } from './engine-package.ts'

const require = createRequire(import.meta.url)

/** The version of an installed package, without loading it. */
function versionOf(name: string): string {
  const files = require.resolve.paths(name)?.map((folder) => join(folder, name, 'package.json')) ?? []
  return versionIn(files.map(dirname).find((folder) => existsSync(join(folder, 'package.json'))))
}

const versionIn = (folder: string | undefined): string =>
  folder === undefined ? 'not installed' : JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version

/** Versions, and the machine. Costs no engine. */
export function environment() {
  return {
    langevin: JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')).version as string,
    node: process.version,
    platform: `${platform()} ${arch()}, ${release()}`,
    cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() },
    /** Bytes. */
    memory: { total: totalmem(), free: freemem() },
    packages: { 'onnxruntime-node': versionIn(enginePackage()), sharp: versionOf('sharp') },
  }
}

export type Environment = ReturnType<typeof environment>
