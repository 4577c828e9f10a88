import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { LangevinError } from '../../core/errors.ts'
import { inWords } from '../../core/system-error.ts'
import { programFolder } from './cache.ts'

/** ONNX Runtime is not installed and cannot be brought. */
export class EngineMissingError extends LangevinError {}

const name = 'onnxruntime-node'
const own = () => createRequire(import.meta.url)
const { optionalDependencies } = own()('../../../package.json') as { optionalDependencies: Readonly<Record<string, string>> }

/** Where `bin/engine.mjs` puts the package if npm has left it out: its install script fails on a host that cannot download CUDA. */
const cache = () => programFolder('engine', optionalDependencies[name] as string, 'node_modules')

/** The folder of ONNX Runtime's package, or undefined if it is not installed. */
export function enginePackage(): string | undefined {
  try {
    return dirname(own().resolve(`${name}/package.json`))
  } catch {
    const kept = join(cache(), name)
    return existsSync(kept) ? kept : undefined
  }
}

/**
 * ONNX Runtime. If npm has left it out, npm brings it now, into the cache folder.
 *
 * @throws EngineMissingError if it does not come
 */
export async function importEngine(): Promise<typeof import('onnxruntime-common')> {
  const folder = enginePackage() ?? join(await bring(), name)
  const { main } = own()(join(folder, 'package.json')) as { main: string }
  return import(pathToFileURL(join(folder, main)).href)
}

function bring(): Promise<string> {
  const program = fileURLToPath(new URL('../../../bin/engine.mjs', import.meta.url))
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (part) => {
      output += part
    })
    const remedy = `run \`npm install ${name}@${optionalDependencies[name]} --ignore-scripts\` where langevin is installed`
    const fail = (reason: string) =>
      reject(new EngineMissingError(`ONNX Runtime (${name}) is not installed: ${reason}; ${remedy}`))
    child.on('error', (error) => fail(inWords(error)))
    child.on('close', (code, signal) =>
      code === 0 ? resolve(output) : fail(`bringing it ended with ${signal ?? `code ${code}`}`),
    )
  })
}
