import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeSafetensors } from '../src/checkpoints/index.ts'
import { Params, zerosInit } from '../src/nn/params.ts'
import { temporaryFolder } from './checkpoints.ts'
import { fixture } from './fixture.ts'
import { weightsOf } from './networks.ts'

const fixtures = fileURLToPath(new URL('../parity/fixtures', import.meta.url))
export const dalleReference = fixture('dalle')
const cases = JSON.parse(dalleReference.metadata.cases as string)
export const dallePrompts: readonly string[] = cases.prompts

/** CLIP's vocabulary, in small, as the files of DALLE-pytorch and of OpenAI's CLIP want it beside them. */
const vocabulary = (dir: string) =>
  cpSync(join(fixtures, 'stable-diffusion/depth/tokenizer'), join(dir, 'tokenizer'), { recursive: true })

/** A file of DALLE-pytorch's training program in a folder of the test's own. */
export function dallePytorchFile(dir = temporaryFolder()): string {
  mkdirSync(dir, { recursive: true })
  cpSync(join(fixtures, 'dalle/dalle-pytorch.pt'), join(dir, 'dalle.pt'))
  vocabulary(dir)
  return join(dir, 'dalle.pt')
}

/** A state dict with the keys of OpenAI's CLIP, its weights those of parity/dalle.py. */
export function openAIClipFile(dir = temporaryFolder()): string {
  mkdirSync(dir, { recursive: true })
  const p = new Params()
  for (const [key, shape] of Object.entries<number[]>(cases.clip)) p.get(key, shape, zerosInit)
  writeSafetensors(join(dir, 'clip.safetensors'), [...weightsOf(p, 0)])
  vocabulary(dir)
  return join(dir, 'clip.safetensors')
}

/** A network of OpenAI's that was saved whole. */
export const wholeEncoder = join(fixtures, 'dalle/encoder.pkl')
