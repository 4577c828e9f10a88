import { cpSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeSafetensors } from '../src/checkpoints/index.ts'
import { readJson } from '../src/checkpoints/json.ts'
import { Params } from '../src/nn/params.ts'
import { type ClassName, networkClasses } from '../src/pipelines/open/classes.ts'
import { weightsOf } from './networks.ts'

const fixtures = fileURLToPath(new URL('../parity/fixtures/glide', import.meta.url))
const drawn = readJson(join(fixtures, 'drawn.json')) as Record<string, { seed: number; factors?: Record<string, number> }>
export const glideSeed = (file: string): number => (drawn[file] as { seed: number }).seed

const classes: Readonly<Record<string, [component: string, ClassName]>> = {
  base: ['base', 'GlideText2Im'],
  upsample: ['upsample', 'GlideText2Im'],
  base_inpaint: ['base_inpaint', 'GlideText2Im'],
  upsample_inpaint: ['upsample_inpaint', 'GlideText2Im'],
  clip_image_enc: ['clip_image', 'GlideClipImage'],
  clip_text_enc: ['clip_text', 'GlideClipText'],
}

/** A folder with the files of small networks, their weights drawn again; the caller's to remove. */
export function glideCheckpoint(dir = mkdtempSync(join(tmpdir(), 'langevin-glide-'))): string {
  cpSync(fixtures, dir, { recursive: true })
  for (const [file, { seed, factors = {} }] of Object.entries(drawn)) {
    const weights = [...weightsOf(glideParams(file), seed)]
    writeSafetensors(
      join(dir, `${file}.pt`),
      weights.map(([key, value]) => [key, value.mul(factors[key] ?? 1).cast('f32')]),
    )
  }
  return dir
}
function configOf(file: string): unknown {
  const all = readJson(join(fixtures, 'config.json')) as Record<string, object>
  if (file.startsWith('clip')) return all.clip
  const enlarges = file.startsWith('upsample')
  return { ...(enlarges ? all.upsample : all.base), inpaint: file.endsWith('inpaint') }
}
/** The parameters of a file's network; `then` sees the network. */
export function glideParams(file: string, then?: (built: never) => void): Params {
  const { config, build } = networkClasses[(classes[file] as [string, ClassName])[1]]
  const p = new Params()
  const built = (build as (p: Params, config: unknown) => never)(p, config(configOf(file)))
  then?.(built)
  return p
}
