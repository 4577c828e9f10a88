import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readJson } from '../src/checkpoints/json.ts'
import { toTensor } from '../src/images/index.ts'
import type { NdArray } from '../src/runtime/ndarray.ts'
import { temporaryFolder } from './checkpoints.ts'
import { fixture } from './fixture.ts'

/** A picture that parity/deepfloyd_if.py asked diffusers for. */
export interface IfCase {
  readonly name: string
  readonly checkpoint: string
  readonly class: string
  readonly scheduler?: Readonly<Record<string, unknown>>
  readonly options: Readonly<Record<string, unknown>>
  readonly expected: readonly string[]
}

const fixtures = fileURLToPath(new URL('../parity/fixtures', import.meta.url))
export const ifCases = (readJson(join(fixtures, 'deepfloyd-if/cases.json')) as { cases: IfCase[] }).cases
export const ifPictures = fixture('deepfloyd-if/pictures')

/** A picture that the runs were given: levels [H, W, 3]. */
export const ifGiven = (name: string): NdArray<'u8'> => ifPictures.tensors.get(`given ${name}`) as NdArray<'u8'>

/** The options of a case, its pictures in place of their names. */
export function ifOptions({ options, scheduler }: IfCase): Record<string, unknown> {
  const pictures = ['image', 'original', 'mask'].flatMap((key) =>
    key in options ? [[key, toTensor(ifGiven(options[key] as string))] as const] : [],
  )
  return { ...options, ...Object.fromEntries(pictures), ...(scheduler && { scheduler }) }
}

/** A whole stage, `one` or `two`, in a folder of the test's own. */
export function ifCheckpoint(name: string, parent = temporaryFolder()): string {
  const dir = join(parent, name)
  mkdirSync(dir, { recursive: true })
  cpSync(join(fixtures, 'deepfloyd-if', name), dir, { recursive: true })
  for (const part of ['text_encoder', 'tokenizer'])
    cpSync(join(fixtures, 'transformers/pixart-sigma', part), join(dir, part), { recursive: true })
  return dir
}
