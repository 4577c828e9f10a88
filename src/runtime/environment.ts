import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'

const require = createRequire(import.meta.url)

/** The version of an installed package, without loading it. */
function versionOf(name: string): string {
  const files = require.resolve.paths(name)?.map((folder) => join(folder, name, 'package.json')) ?? []
  const file = files.find((file) => existsSync(file))
  return file ? JSON.parse(readFileSync(file, 'utf8')).version : 'not installed'
}

/** Versions, and the machine. Costs no engine. */
export function environment() {
  return {
    langevin: JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version as string,
    node: process.version,
    platform: `${platform()} ${arch()}, ${release()}`,
    cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() },
    /** Bytes. */
    memory: { total: totalmem(), free: freemem() },
    packages: { 'onnxruntime-node': versionOf('onnxruntime-node'), sharp: versionOf('sharp') },
  }
}

export type Environment = ReturnType<typeof environment>
