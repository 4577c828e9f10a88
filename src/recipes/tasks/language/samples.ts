import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finish, loadPipeline } from '../../../pipelines/index.ts'

export interface Samples {
  readonly prompts: readonly string[]
  /** Texts of each prompt. */
  readonly num?: number | undefined
  readonly steps?: number | undefined
}

/** Texts as `langevin write` writes them with the folder that `save` makes. */
export async function samplesOf(save: (dir: string) => void, { prompts, num = 1, steps }: Samples): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-texts-'))
  try {
    save(join(dir, 'model'))
    const pipeline = await loadPipeline(join(dir, 'model'))
    try {
      const texts: string[] = []
      for (const prompt of prompts) {
        const made = await finish(pipeline.generate({ prompt, num, ...(steps !== undefined && { steps }) }))
        if (made.type === 'text') texts.push(...made.texts)
      }
      return `${texts.join('\n\n')}\n`
    } finally {
      await pipeline.release()
    }
  } finally {
    rmSync(dir, { recursive: true })
  }
}
