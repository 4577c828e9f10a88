import { expect, test } from 'vitest'
import { type OptionCase, optionCases, runOptionCase } from '../../../tests/scheduler-options.ts'
import { ArgumentError, LangevinError } from '../../core/errors.ts'
import { schedulerClasses } from './index.ts'

/** Where langevin refuses what diffusers gives numbers for, and why. */
const refused: readonly [when: (c: OptionCase) => unknown, why: RegExp][] = [
  // Fresh noise on inverted levels ends in pure noise.
  [({ config }) => config.invert_sigmas, /ends in noise/],
  // A flow's prediction read with levels that are no flow's, in the one class that reads it a third way.
  [
    ({ class: name, config }) => name === 'DEISMultistepScheduler' && config.prediction_type === 'flow_prediction',
    /needs use_flow_sigmas/,
  ],
  // A shift by resolution without the resolution.
  [({ config, run }) => config.use_dynamic_shifting && run.mu === undefined, /needs \{ mu \}/],
]

/** In one step, PyTorch's linspace gives the lowest of EDM's exponential levels; the noise it is for is of the highest, as here. */
const isOneStepOfEdm = ({ config, run }: OptionCase) => config.sigma_schedule === 'exponential' && run.steps === 1

/** unCLIP divides by α = 5e-5 at its first timestep, which leaves float32 four digits. */
const tolerance = ({ class: name }: OptionCase) => (name === 'UnCLIPScheduler' ? 1e-3 : 1e-4)

/** The first or last of these levels has timestep 498.99999 or 499 by the last bit of a float32, and is then cut to a whole one. */
const isCutAtTheEdge = ({ class: name, config }: OptionCase) =>
  config.use_beta_sigmas && ['DEISMultistepScheduler', 'DPMSolverMultistepInverseScheduler'].includes(name)

const classes = [...new Set(optionCases.map((c) => c.class))]

test('every class is there', () => expect(classes.toSorted()).toEqual([...schedulerClasses].sort()))

test.each(classes)(
  '%s obeys the options that diffusers obeys and no others',
  async (name) => {
    const wrong: string[] = []
    let compared = 0
    for (const c of optionCases.filter((one) => one.class === name)) {
      const { refused: error, finite, error: off = 0, late = 0 } = await runOptionCase(c)
      const place = `${JSON.stringify(c.config)} ${JSON.stringify(c.run)}`
      if (error) {
        if (!(error instanceof (typeof c.expected === 'number' ? ArgumentError : LangevinError)))
          wrong.push(`${place}: ${error.name}: ${error.message}`)
        else if (typeof c.expected === 'number' && !refused.some(([when, why]) => when(c) && why.test(error.message)))
          wrong.push(`${place}: refused: ${error.message}`)
      } else if (typeof c.expected === 'string') {
        // What diffusers refuses or fails at may have an answer here, but never NaN.
        if (!finite) wrong.push(`${place}: not finite where diffusers: ${c.expected}`)
      } else if (!isOneStepOfEdm(c)) {
        compared++
        if (!(off <= tolerance(c))) wrong.push(`${place}: off by ${off}`)
        if (!(late <= (isCutAtTheEdge(c) ? 1 : 1e-3))) wrong.push(`${place}: timesteps off by ${late}`)
      }
    }
    expect(wrong).toEqual([])
    expect(compared).toBeGreaterThan(70)
  },
  120_000,
)
