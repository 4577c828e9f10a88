import { type Scheduler, schedulerFromConfig } from '../../diffusion/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { inference, x } from './unet.ts'

const STEPS = 50

/** One of each family, at its highest order. */
const configs = [
  { _class_name: 'DDPMScheduler' },
  { _class_name: 'DDIMScheduler' },
  { _class_name: 'EulerAncestralDiscreteScheduler' },
  { _class_name: 'LMSDiscreteScheduler' },
  { _class_name: 'PNDMScheduler' },
  { _class_name: 'DPMSolverMultistepScheduler', solver_order: 3 },
  { _class_name: 'DEISMultistepScheduler', solver_order: 3 },
  { _class_name: 'UniPCMultistepScheduler', solver_order: 3 },
  { _class_name: 'SASolverScheduler', predictor_order: 3, corrector_order: 3 },
]

/** Milliseconds of a step apart from the network, whose place a copy of its input takes. */
async function stepTime(scheduler: Scheduler): Promise<number> {
  const model = (sample: NdArray) => sample
  const before = performance.now()
  const run = scheduler.run(model, x, { steps: STEPS, generator: new Generator(0) })
  while (!(await run.next()).done) {
    // The steps are the work.
  }
  return (performance.now() - before) / STEPS
}

/** The slowest sampler's step in per cent of one evaluation of the network in a folder, each the least of several. */
export async function samplerShare(dir: string): Promise<() => Promise<Record<string, number>>> {
  const network = await inference(dir)
  const least = async (work: () => Promise<number>) => {
    const times: number[] = []
    for (let i = 0; i < 5; i++) times.push(await work())
    return Math.min(...times)
  }
  const evaluation = async () => {
    const before = performance.now()
    await network()
    return performance.now() - before
  }
  return async () => {
    const steps: number[] = []
    for (const config of configs) {
      const scheduler = schedulerFromConfig(config)
      steps.push(await least(() => stepTime(scheduler)))
    }
    return { percent: (100 * Math.max(...steps)) / (await least(evaluation)) }
  }
}
