// Plain JavaScript for old Nodes (20): builds the studio, where it is asked for. `node scripts/studio.mjs [folder]`
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNode, npm, run, say } from '../bin/node.mjs'
import { installed } from './setup.mjs'

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const source = at('studio')
/** Of the library the studio's pages have this in them. */
const shared = ['src/core', 'src/diffusion', 'src/runtime', 'src/cli/demo'].map(at)

function filesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesIn(path)
    return entry.isFile() ? [path] : []
  })
}

/** Of all that the studio is built from. */
function hashOf(files) {
  const hash = createHash('sha256')
  for (const file of files.sort()) {
    const bytes = readFileSync(file)
    hash.update(`${relative(source, file)} ${bytes.length}\n`).update(bytes)
  }
  return hash.digest('hex')
}

/** Builds into a folder, unless it holds a build of the same files. Its libraries are installed for that, and only for that. */
export async function buildStudio(node = findNode(), folder = at('.cache/studio/built')) {
  const hash = hashOf([source, ...shared].flatMap(filesIn))
  const record = join(folder, 'built.txt')
  if (existsSync(record) && readFileSync(record, 'utf8') === hash) return
  if (!installed('studio')) npm(['ci', '--prefix', source, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
  say('building the studio')
  // Built beside, then put in place: whoever serves it has the old one or the new one.
  const part = `${folder}-${process.pid}`
  const old = `${part}-old`
  mkdirSync(resolve(folder, '..'), { recursive: true })
  try {
    const vite = join(source, 'node_modules/vite/bin/vite.js')
    const code = await run(node, [vite, 'build', source, '--outDir', part, '--logLevel', 'warn'])
    if (code !== 0) throw new Error(`the studio was not built (exit code ${code}); the reason stands above.`)
    writeFileSync(join(part, 'built.txt'), hash)
    if (existsSync(folder)) renameSync(folder, old)
    renameSync(part, folder)
  } finally {
    for (const left of [part, old]) rmSync(left, { recursive: true, force: true })
  }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await buildStudio(findNode(), process.argv[2] && resolve(process.argv[2]))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
