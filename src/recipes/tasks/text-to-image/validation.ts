import type { Tensor } from '../../../core/tensor.ts'
import { createAutoencoder, framed } from '../../../pipelines/index.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import type { TrainingJob } from '../../../training/run.ts'
import { heldOutSet } from '../../held-out.ts'
import type { Noising } from './noise.ts'
import type { OpenedParts } from './parts.ts'
import type { TextToImage } from './schema.ts'

/**
 * Where in the noise the errors on held-out scenes are measured, as shares of the timesteps: where objects take their shapes.
 * What captions tell there is the error without them less the error with them.
 */
const watched = [0.5, 0.75, 0.9]

interface HeldOutParts extends Pick<OpenedParts, 'vae' | 'text'>, Pick<Noising, 'noised'> {
  readonly error: Tensor
  /** Of a batch of latents. */
  readonly shape: readonly number[]
}

/** Errors on held-out scenes at the watched levels, with their captions and without. */
export function heldOutErrors(
  { data, resolution: size, scheduler }: TextToImage,
  { error, shape, noised, vae, text }: HeldOutParts,
): NonNullable<TrainingJob['validation']> {
  const levels = watched.map((share) => Math.floor(share * scheduler.num_train_timesteps))
  const batchSize = shape[0] as number
  const encoded = async () => {
    const { scenes, captions, render } = await heldOutSet(data, 'validation', { size, count: batchSize })
    const coder = createAutoencoder(vae)
    const clean = (await coder.encode(render(scenes))).mul(vae.config.scaling_factor)
    await coder.release()
    return { clean, told: { error: captions, untold: captions.map(() => '') } }
  }
  let heldOut: ReturnType<typeof encoded> | undefined
  return {
    names: levels.flatMap((time) => [`error_${time}`, `untold_${time}`]),
    async measure(weights) {
      heldOut ??= encoded()
      const { clean, told } = await heldOut
      const program = await compile({ outputs: { error }, weights })
      const found: Record<string, number> = {}
      for (const time of levels) {
        const feeds = noised(clean, new Generator(time).randn(shape), Array<number>(batchSize).fill(time))
        for (const [name, captions] of Object.entries(told)) {
          const { error } = await program.run({ ...feeds, tokens: framed(text.tokenizer, captions) })
          found[`${name}_${time}`] = error?.item() as number
        }
      }
      await program.release()
      return found
    },
  }
}
