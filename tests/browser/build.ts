import { build } from 'vite'
import config from '../../web/vite.config.ts'

export { webEngine } from '../../web/vite.config.ts'

/** Builds a page of this repository from its sources. @returns names and contents of its scripts */
export async function buildPage(folder: string, out: string): Promise<Map<string, string>> {
  const built = await build({
    ...config,
    root: folder,
    configFile: false,
    logLevel: 'error',
    build: { ...config.build, outDir: out },
  })
  const outputs = (Array.isArray(built) ? built : [built]).flatMap((one) => ('output' in one ? one.output : []))
  const scripts = outputs.map((one) => [one.fileName, one.type === 'chunk' ? one.code : String(one.source)] as const)
  return new Map(scripts.filter(([name]) => name.endsWith('.js')))
}
