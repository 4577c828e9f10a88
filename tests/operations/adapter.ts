import { existsSync, globSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { probeWebgpu } from '../../src/runtime/node/devices.ts'

/** The environment in which a child process has WebGPU, or why there is none. */
export type Adapter = { readonly env: NodeJS.ProcessEnv; readonly description: string } | { readonly reason: string }

/** Where Chromium lies, whose software renderer SwiftShader needs no GPU. */
const folders = () => [
  resolve(import.meta.dirname, '../../.cache/swiftshader'),
  '/usr/lib/chromium',
  '/usr/lib/chromium-browser',
  '/usr/lib64/chromium-browser',
  '/opt/google/chrome',
  ...globSync(join(homedir(), '.cache/ms-playwright/chromium-*/chrome-linux*')),
]

/** WebGPU as this machine has it, else on SwiftShader. */
export async function findAdapter(): Promise<Adapter> {
  const own = await probeWebgpu(process.env, 300_000)
  if (own.available) return { env: process.env, description: own.description }
  const folder = folders().find((path) => existsSync(join(path, 'vk_swiftshader_icd.json')))
  if (!folder)
    return {
      reason: `${own.reason}; or Chromium's software renderer: \`node scripts/swiftshader.mjs\` brings it on Debian, elsewhere install Chromium`,
    }
  const libraries = [folder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  const env = { ...process.env, VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'), LD_LIBRARY_PATH: libraries }
  const rendered = await probeWebgpu(env, 300_000)
  return rendered.available
    ? { env, description: rendered.description }
    : { reason: `SwiftShader in ${folder}: ${rendered.reason}` }
}
