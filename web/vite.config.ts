import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig, type Plugin } from 'vite'

const root = join(import.meta.dirname, '..')
const installed = [root, join(root, '.cache/browser')].map((folder) => join(folder, 'node_modules/onnxruntime-web'))

/** The folder of onnxruntime-web, which `node scripts/browser.mjs` brings. */
export const webEngine: string | undefined = installed.find((folder) => existsSync(folder))

/** Finds onnxruntime-web where it lies. */
const engine = (): Plugin => ({
  name: 'onnxruntime-web',
  enforce: 'pre',
  resolveId(source) {
    if (!source.startsWith('onnxruntime-web/')) return undefined
    if (!webEngine) throw new Error('onnxruntime-web is not here: run `node scripts/browser.mjs`')
    return this.resolve(source, join(webEngine, '../../page.js'), { skipSelf: true })
  },
})

const bytes = (build: string) => (webEngine ? statSync(join(webEngine, `dist/ort-wasm-simd-threaded${build}.wasm`)).size : 0)

/** Builds pages for browsers from this repository's sources: the page here, and the one of the tests. */
export default defineConfig({
  root: import.meta.dirname,
  base: './',
  plugins: [engine()],
  worker: { format: 'es', plugins: () => [engine()] },
  resolve: { conditions: ['@langevin/source', 'module', 'browser', 'production'] },
  define: { ENGINE_BYTES: { wasm: bytes(''), jspi: bytes('.jspi'), asyncify: bytes('.asyncify') } },
  build: { outDir: join(root, 'out/web'), emptyOutDir: true, target: 'es2024', assetsInlineLimit: 0 },
})
