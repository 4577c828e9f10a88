// What the tests and pages for browsers need beside a clone: onnxruntime-web, into .cache/browser; and it says whether a Chromium is
// there. Nothing else asks for it: `npm install`, `npm start` and `npm test` do without.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { npm } from '../bin/node.mjs'

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const folder = at('.cache/browser')
const version = JSON.parse(readFileSync(at('package.json'), 'utf8')).peerDependencies['onnxruntime-web']

const installed = [at('node_modules'), join(folder, 'node_modules')].some((modules) => {
  const file = join(modules, 'onnxruntime-web/package.json')
  return existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).version === version
})
if (!installed) {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  npm([
    'install',
    '--prefix',
    folder,
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    `onnxruntime-web@${version}`,
  ])
}
console.log(`onnxruntime-web ${version} is here`)

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const folders = (process.env.PATH ?? '').split(delimiter)
const browser =
  process.env.CHROMIUM || folders.flatMap((one) => names.map((name) => join(one, name))).find((file) => existsSync(file))
console.log(browser ? `${browser} is the browser` : 'no Chromium was found: `apt-get install chromium`, or name one in CHROMIUM')
