import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readJson } from '../src/checkpoints/json.ts'
import { temporaryFolder } from './checkpoints.ts'
import { fixture } from './fixture.ts'

/** A picture that parity/transformer_pipelines.py asked diffusers for. */
export interface TransformerCase {
  readonly name: string
  readonly checkpoint: string
  readonly scheduler?: string
  readonly options: Readonly<Record<string, unknown>>
  readonly expected: readonly string[]
  /** Only every so manieth pixel is kept. */
  readonly every?: number
}

const fixtures = fileURLToPath(new URL('../parity/fixtures/transformers', import.meta.url))
export const transformerCases = (readJson(join(fixtures, 'cases.json')) as { cases: TransformerCase[] }).cases
export const transformerPictures = fixture('transformers/pictures')

/** Folders that have only what differs, with the folder that has the rest. */
const others: Readonly<Record<string, string>> = {
  'dit-plain': 'dit',
  'pixart-alpha': 'pixart-sigma',
  'pixart-alpha-1024': 'pixart-sigma',
}

/** A whole checkpoint in a folder of the test's own, which goes when the test ends unless it is given. */
export function transformerCheckpoint(name: string, parent = temporaryFolder()): string {
  const dir = join(parent, name)
  mkdirSync(dir, { recursive: true })
  const base = others[name]
  if (base !== undefined) {
    cpSync(join(fixtures, base), dir, { recursive: true })
    rmSync(join(dir, 'transformer'), { recursive: true })
  }
  cpSync(join(fixtures, name), dir, { recursive: true })
  return dir
}
