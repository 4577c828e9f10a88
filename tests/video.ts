import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readJson } from '../src/checkpoints/json.ts'
import { NdArray } from '../src/runtime/ndarray.ts'
import { temporaryFolder } from './checkpoints.ts'
import { fixture } from './fixture.ts'

/** A film that parity/video_pipelines.py asked diffusers for. */
export interface VideoCase {
  readonly name: string
  readonly checkpoint: string
  readonly scheduler?: string
  readonly options: Readonly<Record<string, unknown>>
  readonly expected: readonly string[]
}

const fixtures = fileURLToPath(new URL('../parity/fixtures', import.meta.url))
export const videoCases = (readJson(join(fixtures, 'video/cases.json')) as { cases: VideoCase[] }).cases
export const videoFrames = fixture('video/frames')
/** The first frame of the cases with one: [H, W, 3]. */
export const videoPicture = fixture('video/fox').tensors.get('picture') as NdArray<'u8'>

/** Films [T, 3, H, W] in [−1, 1] as the fixtures hold them: levels of every second row and column, [T, H/2, W/2, 3]. */
export function sampledLevels(film: NdArray<'f32'>): NdArray<'u8'> {
  const [T, C, H, W] = film.shape as [number, number, number, number]
  const [h, w] = [Math.ceil(H / 2), Math.ceil(W / 2)]
  const out = new Uint8Array(T * h * w * C)
  for (let i = 0; i < out.length; i++) {
    const [c, x, y, t] = [i % C, Math.floor(i / C) % w, Math.floor(i / C / w) % h, Math.floor(i / C / w / h)]
    const value = film.data[((t * C + c) * H + 2 * y) * W + 2 * x] as number
    out[i] = Math.round(Math.min(1, Math.max(0, value / 2 + 0.5)) * 255)
  }
  return new NdArray(out, [T, h, w, C], 'u8')
}

/** A whole checkpoint in a folder of the test's own, which goes when the test ends unless it is given. */
export function videoCheckpoint(name: string, parent = temporaryFolder()): string {
  const dir = join(parent, name)
  mkdirSync(dir, { recursive: true })
  cpSync(join(fixtures, 'video', name), dir, { recursive: true })
  const from = (source: string, part: string) => cpSync(join(fixtures, source, part), join(dir, part), { recursive: true })
  from('transformers/pixart-sigma', 'tokenizer')
  if (name !== 'wan') from('transformers/pixart-sigma', 'text_encoder')
  if (name === 'latte') from('transformers/pixart-sigma', 'vae')
  const weights = 'vae/diffusion_pytorch_model.safetensors'
  if (!existsSync(join(dir, weights))) cpSync(join(fixtures, 'video/cogvideox-2b', weights), join(dir, weights))
  return dir
}
