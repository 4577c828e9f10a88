// Builds the page for browsers into out/web, with the model that it draws with: static files for any host. `--serve` serves them on
// this machine, with the headers that threads need.
import { createHash } from 'node:crypto'
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import './browser.mjs'

const { build, preview } = await import('vite')
const root = fileURLToPath(new URL('..', import.meta.url))
const out = join(root, 'out/web')
const headers = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }

/** Copies what a model is run from, and says in its `files.json` what there is. */
function addModel(name) {
  const [from, to] = [join(root, 'zoo', name), join(out, 'models', name)]
  const used = (path) => /\.(json|txt|safetensors)$/.test(path) && !/^(evaluation|training|recipe)\.json$/.test(path)
  const listing = {}
  for (const path of readdirSync(from, { recursive: true })) {
    if (!used(path) || !statSync(join(from, path)).isFile()) continue
    const bytes = readFileSync(join(from, path))
    listing[path.replaceAll('\\', '/')] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
    cpSync(join(from, path), join(to, path))
  }
  writeFileSync(join(to, 'files.json'), `${JSON.stringify(listing, null, 2)}\n`)
}

await build({ configFile: join(root, 'web/vite.config.ts'), logLevel: 'warn' })
addModel('stickers-t2i')
// Hosts that read such a file (Cloudflare Pages, Netlify) then allow threads; without these headers one thread draws.
writeFileSync(
  join(out, '_headers'),
  `/*\n${Object.entries(headers)
    .map(([name, value]) => `  ${name}: ${value}\n`)
    .join('')}`,
)
console.log(`the page is in ${out}`)

if (process.argv.includes('--serve')) {
  const server = await preview({ root, build: { outDir: 'out/web' }, configFile: false, preview: { headers, host: '127.0.0.1' } })
  server.printUrls()
}
