import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finish, loadPipeline } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'

/** What a model makes in the folder that it will have, a picture at a time: of pictures [B, 3, H, W], or of as many options. */
export async function picturesBy(
  save: (dir: string) => Promise<void> | void,
  images: NdArray<'f32'> | undefined,
  options: Readonly<Record<string, unknown>>,
  each: readonly Readonly<Record<string, unknown>>[] = [],
): Promise<NdArray<'f32'>> {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-preview-'))
  try {
    await save(dir)
    const pipeline = await loadPipeline(dir, {})
    const made: NdArray<'f32'>[] = []
    const count = images?.shape[0] ?? each.length
    try {
      for (let i = 0; i < count; i++) {
        const image = images?.slice(0, i, i + 1)
        const given = { ...options, ...each[i], ...(image && { image: image.reshape(image.shape.slice(1)) }) }
        const result = await finish(pipeline.generate(given))
        if (result.type === 'pictures') made.push(result.pictures)
      }
    } finally {
      await pipeline.release()
    }
    return NdArray.concat(made).clamp(-1, 1)
  } finally {
    rmSync(dir, { recursive: true })
  }
}
