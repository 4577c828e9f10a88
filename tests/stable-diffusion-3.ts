import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

/** Path of a fixture of parity/stable_diffusion_3.py. */
export const sd3Fixture = (name: string): string =>
  fileURLToPath(new URL(`../parity/fixtures/stable-diffusion-3/${name}`, import.meta.url))

/** What every checkpoint has of the first one. */
const shared = ['scheduler', 'vae', 'text_encoder', 'text_encoder_2', 'tokenizer', 'tokenizer_2']

/**
 * A whole copy of a checkpoint of parity/stable_diffusion_3.py, which goes when the file's tests are over: the first one lies whole,
 * the others without what they share with it.
 *
 * @param controlnet a ControlNet that becomes the folder's own
 */
export function sd3Checkpoint(name: string, controlnet?: string): string {
  const root = mkdtempSync(join(tmpdir(), 'langevin-test-'))
  afterAll(() => rmSync(root, { recursive: true, force: true }))
  const folder = join(root, name)
  cpSync(sd3Fixture(name), folder, { recursive: true })
  for (const part of shared)
    if (!existsSync(join(folder, part))) cpSync(sd3Fixture(`sd3/${part}`), join(folder, part), { recursive: true })
  if (controlnet !== undefined) cpSync(sd3Fixture(controlnet), join(folder, 'controlnet'), { recursive: true })
  return folder
}
