// Chromium's software renderer for WebGPU, SwiftShader, from Debian's package into .cache/swiftshader, so that the tests of WebGPU
// run on a machine without a GPU. Without apt, or without the package, it says so and does no harm.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const cache = fileURLToPath(new URL('../.cache', import.meta.url))
const folder = join(cache, 'swiftshader')
const files = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json']

function run(command, args, cwd) {
  const { status, error, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: 300_000 })
  return status === 0 ? undefined : `${command} ${args[0]}: ${error?.message ?? stderr.trim().split('\n').at(-1)}`
}

/** Brings it; gives why not. */
function bring() {
  if (files.every((file) => existsSync(join(folder, file)))) return undefined
  if (process.platform !== 'linux') return 'it comes from a package for Linux'
  mkdirSync(cache, { recursive: true })
  const part = mkdtempSync(join(cache, 'swiftshader-'))
  try {
    const download = () => run('apt-get', ['download', 'chromium-common'], part)
    let failure = download()
    if (failure && process.getuid() === 0) failure = run('apt-get', ['update'], part) ?? download()
    if (failure) return failure
    const [deb] = readdirSync(part)
    failure = run('dpkg-deb', ['-x', deb, '.'], part)
    if (failure) return failure
    const from = join(part, 'usr/lib/chromium')
    const missing = files.filter((file) => !existsSync(join(from, file)))
    if (missing.length > 0) return `${deb} lacks ${missing.join(', ')}`
    mkdirSync(join(part, 'kept'))
    for (const file of files) renameSync(join(from, file), join(part, 'kept', file))
    rmSync(folder, { recursive: true, force: true })
    renameSync(join(part, 'kept'), folder)
    return undefined
  } catch (error) {
    return error.message
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
}

const failure = bring()
console.log(failure ? `SwiftShader was not brought: ${failure}` : `SwiftShader lies in ${folder}`)
