import { encodePng, imageGrid } from '../../../images/index.ts'
import { createPromptBatches } from '../../../pipelines/index.ts'
import type { PreviewOptions } from '../../recipe.ts'
import { fixedPrompts, gridSampling } from './fixed-prompts.ts'

/** A grid of pictures of prompts, as PNG bytes. */
export async function promptGrid(
  parts: Parameters<typeof createPromptBatches>[0],
  { validation_prompts: own = fixedPrompts }: { readonly validation_prompts?: readonly string[] | undefined },
  { num, steps = gridSampling.steps }: PreviewOptions = {},
): Promise<Uint8Array> {
  const sampler = createPromptBatches(parts)
  const prompts = own.slice(0, num)
  const most = (parts.scheduler as { readonly num_train_timesteps?: number }).num_train_timesteps ?? steps
  const pictures = await sampler.generate(prompts, { ...gridSampling, steps: Math.min(steps, most) })
  await sampler.release()
  return encodePng(imageGrid(pictures, { columns: Math.min(8, prompts.length) }))
}
