import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { saveModel } from '../src/checkpoints/index.ts'
import { readJson } from '../src/checkpoints/json.ts'
import { Params } from '../src/nn/params.ts'
import { type ClassName, networkClasses } from '../src/pipelines/open/classes.ts'
import { temporaryFolder } from './checkpoints.ts'
import { fixture } from './fixture.ts'
import { weightsOf } from './networks.ts'

/** A picture that parity/unclip.py asked diffusers for. */
export interface UnclipCase {
  readonly name: string
  readonly checkpoint: string
  readonly options: Readonly<Record<string, unknown>>
  readonly expected: readonly string[]
}

const fixtures = fileURLToPath(new URL('../parity/fixtures/unclip', import.meta.url))
const vocabulary = fileURLToPath(new URL('../parity/fixtures/tokenizer/sd1', import.meta.url))
export const unclipCases = (readJson(join(fixtures, 'cases.json')) as { cases: UnclipCase[] }).cases
export const unclipPictures = fixture('unclip/pictures')
/** A picture that cases give, by its name there. */
export const unclipInput = (name: string): string => join(fixtures, 'inputs', `${name}.png`)

/** How parity/unclip.py drew a network's weights. */
interface Drawn {
  readonly seed: number
  readonly factors?: Readonly<Record<string, number>>
}

/** A checkpoint in a folder of the test's own, its weights drawn again, its tokenizers those of the other fixtures. */
export function unclipCheckpoint(name: string, parent = temporaryFolder()): string {
  const dir = join(parent, name)
  mkdirSync(dir, { recursive: true })
  cpSync(join(fixtures, name), dir, { recursive: true })
  const index = readJson(join(dir, 'model_index.json')) as Record<string, unknown>
  const drawn = readJson(join(dir, 'drawn.json')) as Record<string, Drawn>
  rmSync(join(dir, 'drawn.json'))
  for (const [component, entry] of Object.entries(index)) {
    if (!Array.isArray(entry)) continue
    if (/^CLIPTokenizer/.test(entry[1])) cpSync(vocabulary, join(dir, component), { recursive: true })
    const how = drawn[component]
    if (!how) continue
    const config = readJson(join(dir, component, 'config.json')) as Record<string, unknown>
    const { config: read, build } = networkClasses[entry[1] as ClassName]
    const p = new Params()
    ;(build as (p: Params, config: unknown) => unknown)(p, read(config))
    const weights = new Map([...weightsOf(p, how.seed)].map(([key, value]) => [key, value.mul(how.factors?.[key] ?? 1)] as const))
    saveModel(join(dir, component), config as never, weights, { dtype: 'f16' })
  }
  return dir
}

/** Every checkpoint of the fixtures. */
export const unclipCheckpoints = readdirSync(fixtures).filter((name) => !name.includes('.') && name !== 'inputs')
