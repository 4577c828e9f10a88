// ONNX Runtime's package, where npm left it out: prints the folder of its `node_modules`. It is an optional dependency, since its
// install script downloads CUDA libraries: a host where that fails would otherwise refuse langevin as a whole.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { programFolder } from './cache.mjs'
import { npm, say } from './node.mjs'

const { optionalDependencies } = JSON.parse(readFileSync(fileURLToPath(new URL('../package.json', import.meta.url)), 'utf8'))
const version = optionalDependencies['onnxruntime-node']
const folder = programFolder('engine', version)
try {
  if (!existsSync(folder)) {
    say(`ONNX Runtime is not installed, bringing onnxruntime-node ${version} from npm into ${folder} (114 MB, once)`)
    mkdirSync(dirname(folder), { recursive: true })
    // Into a folder of its own first: two processes may do this at once, and one may be stopped.
    const part = mkdtempSync(`${folder}-`)
    process.on('exit', () => rmSync(part, { recursive: true, force: true }))
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))
    npm([
      'install',
      `onnxruntime-node@${version}`,
      '--prefix',
      part,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ])
    try {
      renameSync(part, folder)
    } catch (error) {
      if (!existsSync(folder)) throw error // Another process was faster.
    }
  }
  process.stdout.write(join(folder, 'node_modules'))
} catch (error) {
  say(error.message)
  process.exitCode = 1
}
