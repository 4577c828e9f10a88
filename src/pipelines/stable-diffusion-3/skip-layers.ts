import { extrapolate } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Call, Conditioner, Denoiser } from '../parts/denoiser.ts'
import type { Combine } from '../sampling/guidance.ts'

export interface SkippedLayers {
  readonly layers: readonly number[]
  /** Of how many steps, after which share and before which, both strictly. */
  readonly steps: number
  readonly start: number
  readonly stop: number
}

/**
 * A denoiser whose output has a third entry at some steps: what the network gives for the prompt without these blocks
 * (Stability's skip-layer guidance, as diffusers' `StableDiffusion3Pipeline` has it).
 *
 * @param second the same network, for the calls without the blocks: it is freed after the last
 */
export function skippingLayers(first: Denoiser, second: Denoiser, { layers, steps, start, stop }: SkippedLayers): Denoiser {
  const skip: Conditioner = {
    key: JSON.stringify(['skip layers', layers]),
    weights: new Map(),
    trace: () => ({ skipLayers: layers }),
    feeds: () => ({}),
  }
  const within = ({ call = 0 }: Call) => call > steps * start && call < steps * stop
  return {
    config: first.config,
    begin(conditioners = []) {
      const whole = first.begin(conditioners)
      const without = second.begin([...conditioners, skip])
      return {
        async predict(sample, t, entries, at = {}) {
          const output = await whole.predict(sample, t, entries, at)
          if (!within(at)) return output
          const last = entries.length - 1
          const less = await without.predict(sample.slice(0, last, last + 1), t, entries.slice(last), at)
          if (!within({ call: (at.call ?? 0) + 1 })) await second.release()
          return NdArray.concat([output, less])
        },
      }
    },
    needsCalibration: (conditioners = []) =>
      first.needsCalibration(conditioners) || second.needsCalibration([...conditioners, skip]),
    async calibrate(conditioners, work) {
      if (first.needsCalibration(conditioners)) await first.calibrate(conditioners, work)
      const own = [...conditioners, skip]
      if (!second.needsCalibration(own)) return
      await second.calibrate(own, (run) =>
        work({
          async predict(sample, t, entries, at) {
            const last = entries.length - 1
            const less = await run.predict(sample.slice(0, last, last + 1), t, entries.slice(last), at)
            return NdArray.concat(entries.map(() => less))
          },
        }),
      )
    },
    async release() {
      await first.release()
      await second.release()
    },
  }
}

/** Guidance by the negative prompt, and away from what the network gives without some blocks where that is known. */
export const guidedWithSkips =
  (guidance: number, scale: number): Combine =>
  (output) => {
    if (output.shape[0] === 1) return output
    const [negative, positive] = [output.slice(0, 0, 1), output.slice(0, 1, 2)]
    const guided = extrapolate(positive, negative, guidance)
    return output.shape[0] === 3 ? guided.add(positive.sub(output.slice(0, 2, 3)).mul(scale)) : guided
  }
