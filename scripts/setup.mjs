// Plain JavaScript for old Nodes (20): everything that `npm start` and `npm test` need on a fresh clone.
import { existsSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { findNode, npm } from '../bin/node.mjs'

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** True where npm's own record of a folder's node_modules holds everything that its lock file asks for. */
export function installed(folder = '.') {
  if (!existsSync(at(`${folder}/node_modules/.package-lock.json`))) return false
  const [wanted, present] = ['package-lock.json', 'node_modules/.package-lock.json'].map(
    (file) => JSON.parse(readFileSync(at(`${folder}/${file}`), 'utf8')).packages,
  )
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === '' || (present[path] ? present[path].version === version : optional),
  )
}

/** Installs what is missing, and gives the path of the Node to run with. */
export function setUp() {
  // onnxruntime-node's install script downloads CUDA and fails where it cannot: .npmrc keeps install scripts off.
  if (!installed()) npm([existsSync(at('node_modules')) ? 'install' : 'ci', '--loglevel=error'])
  const node = findNode()
  if (node !== process.execPath && process.platform !== 'win32') {
    // So that `npx vitest` and `npm run check` find it too.
    const link = at('node_modules/.bin/node')
    rmSync(link, { force: true })
    symlinkSync(node, link)
  }
  return node
}
