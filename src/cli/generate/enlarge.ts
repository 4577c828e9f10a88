import type { NdArray } from '../../runtime/ndarray.ts'
import { scaled } from './load.ts'
import type { Options } from './options.ts'

export interface Enlarging {
  /** A picture in [−1, 1], [C, H, W], larger. */
  enlarge(picture: NdArray<'f32'>): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

/** What `--upscale` asks for, opened when the first picture is there; undefined for nothing. */
export function enlarging({ upscale, threads, device }: Options, signal: AbortSignal): Enlarging | undefined {
  if (upscale === undefined || upscale === 'none') return undefined
  const { name, scale } = scaled(upscale)
  const opening = import('../../pipelines/upscale/index.ts').then(({ loadUpscaler }) =>
    loadUpscaler(name, { ...(threads !== undefined && { threads }), ...(device !== 'cpu' && { device }) }),
  )
  // Whoever asks first is told.
  opening.catch(() => undefined)
  return {
    async enlarge(picture) {
      const unit = picture.clamp(-1, 1).add(1).div(2).cast('f32')
      const steps = (await opening).upscale(unit, { signal, ...(scale !== undefined && { scale }) })
      for (let next = await steps.next(); ; next = await steps.next()) if (next.done) return next.value.mul(2).sub(1).cast('f32')
    },
    release: async () => (await opening.catch(() => undefined))?.release(),
  }
}
