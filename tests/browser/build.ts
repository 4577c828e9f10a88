import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { build, type Plugin } from 'vite'
import { root } from './site.ts'

const installed = [root, join(root, '.cache/browser')].map((folder) => join(folder, 'node_modules/onnxruntime-web'))

/** The folder of onnxruntime-web, which `node scripts/browser.mjs` brings. */
export const webEngine: string | undefined = installed.find((folder) => existsSync(folder))

/** Finds onnxruntime-web where it lies. */
const engine = (): Plugin => ({
  name: 'onnxruntime-web',
  enforce: 'pre',
  resolveId(source) {
    if (!source.startsWith('onnxruntime-web/')) return undefined
    return webEngine ? this.resolve(source, join(webEngine, '../../page.js'), { skipSelf: true }) : { id: source, external: true }
  },
})

/** Builds a page of this repository from its sources. @returns names and contents of its scripts */
export async function buildPage(folder: string, out: string): Promise<Map<string, string>> {
  const built = await build({
    root: folder,
    configFile: false,
    logLevel: 'error',
    base: './',
    plugins: [engine()],
    worker: { format: 'es', plugins: () => [engine()] },
    resolve: { conditions: ['@langevin/source', 'module', 'browser', 'production'] },
    build: { outDir: out, emptyOutDir: true, target: 'es2024', minify: false, assetsInlineLimit: 0 },
  })
  const outputs = (Array.isArray(built) ? built : [built]).flatMap((one) => ('output' in one ? one.output : []))
  const scripts = outputs.map((one) => [one.fileName, one.type === 'chunk' ? one.code : String(one.source)] as const)
  return new Map(scripts.filter(([name]) => name.endsWith('.js')))
}
