import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { cases, runCase } from '../../../tests/scheduler-cases.ts'
import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { alphasCumprod, betaSchedule } from '../betas.ts'
import { NonFiniteError } from '../denoiser.ts'
import { alignYourSteps } from '../sigmas.ts'
import { schedulerClasses, schedulerFromConfig } from './index.ts'
import type { RunOptions, Scheduler } from './scheduler.ts'

const named = cases.map((c, i) => [`${c.class} ${JSON.stringify(c.config)} ${JSON.stringify(c.run)}`, i] as const)

test.each(named)('%s', async (_, index) => {
  const { error, timesteps } = await runCase(index)
  const expected = cases[index]?.timesteps as number[]
  expect(timesteps.length).toBe(expected.length)
  for (const [i, t] of expected.entries()) expect(Math.abs((timesteps[i] as number) - t)).toBeLessThanOrEqual(1e-3)
  expect(error).toBeLessThanOrEqual(1e-4)
})

test('every class has loops, and docs/schedulers.md has a row for each with their number', () => {
  const docs = readFileSync(new URL('../../../docs/schedulers.md', import.meta.url), 'utf8')
  for (const name of schedulerClasses) {
    const loops = cases.filter((c) => c.class === name).length
    expect(loops, name).toBeGreaterThan(0)
    expect(docs).toContain(`| ${name} | ${loops} |`)
  }
})

const finish = async (config: Record<string, unknown>, run: RunOptions, network = (x: NdArray, _: number) => x) => {
  const scheduler = schedulerFromConfig({ _class_name: 'DDIMScheduler', ...config })
  const sampling = scheduler.run(network, new Generator(0).randn([1, 2, 4, 4]), run)
  let step = await sampling.next()
  while (!step.done) step = await sampling.next()
  return step.value
}

test.each([
  [{ _class_name: 'Nope' }, {}, /known classes: DDPMScheduler, .*EulerDiscreteScheduler/],
  [{ beta_schedule: 'cosine' }, {}, /beta_schedule is "cosine"; expected one of linear, scaled_linear/],
  [{ clip_sample: 1 }, {}, /clip_sample is 1; expected a boolean/],
  [{}, { steps: 0 }, /steps: expected a whole number ≥ 1, got 0/],
  [{}, {}, /say how many steps/],
  [{}, { steps: 2.5 }, /whole number/],
  [{}, { steps: 2000 }, /more than the 1000/],
  [{}, { timesteps: [10, 20] }, /timesteps must fall, but timesteps\[0\] is 10 and timesteps\[1\] is 20/],
  [{}, { timesteps: [1000, 20] }, /expected 0 ≤ t < 1000/],
  [
    { _class_name: 'EulerDiscreteScheduler' },
    { sigmas: [9, 1, 1, 0] },
    /sigmas must fall, but sigmas\[1\] is 1 and sigmas\[2\] is 1/,
  ],
  [{ _class_name: 'EulerDiscreteScheduler' }, { sigmas: [9, NaN] }, /sigmas\[1\] is NaN; expected a level above 0/],
  [{ _class_name: 'EulerDiscreteScheduler' }, { sigmas: [9, 0, 0] }, /sigmas\[1\] is 0; expected a level above 0/],
  [
    { _class_name: 'UniPCMultistepScheduler', use_flow_sigmas: true, use_karras_sigmas: true },
    { sigmas: [0.9, 0.1] },
    /contradict/,
  ],
  [{ _class_name: 'UniPCMultistepScheduler', solver_order: 0 }, { steps: 4 }, /solver_order is 0; expected a whole number ≥ 1/],
  [{ _class_name: 'SASolverScheduler', corrector_order: 0 }, { steps: 4 }, /corrector_order is 0/],
  [
    { _class_name: 'FlowMatchEulerDiscreteScheduler', stochastic_sampling: true, invert_sigmas: true },
    { steps: 4 },
    /stochastic_sampling with invert_sigmas/,
  ],
  [{ _class_name: 'FlowMatchLCMScheduler', invert_sigmas: true }, { steps: 4 }, /FlowMatchLCMScheduler with invert_sigmas/],
  [{}, { steps: 2, timesteps: [10] }, /one of steps, timesteps and sigmas/],
  [{}, { steps: 2, sigmas: [1] }, /DDIMScheduler does not take sigmas; it takes steps, seed, generator, start, timesteps, eta/],
  [{ _class_name: 'PNDMScheduler' }, { steps: 5, eta: 1 }, /does not take eta/],
  [{}, { steps: 2, seed: 1, generator: new Generator(0) }, /a seed or a generator, not both/],
  [{}, { steps: 4, start: 4 }, /start: expected a whole number of 0 … 3/],
  [
    { _class_name: 'EulerDiscreteScheduler', use_karras_sigmas: true, use_beta_sigmas: true },
    { steps: 2 },
    /contradict each other/,
  ],
  [
    { _class_name: 'EulerDiscreteScheduler', use_karras_sigmas: true },
    { timesteps: [9, 1] },
    /timesteps contradict use_karras_sigmas/,
  ],
  [
    { _class_name: 'DPMSolverMultistepScheduler', algorithm_type: 'dpmsolver' },
    { steps: 2 },
    /set final_sigmas_type to sigma_min/,
  ],
  [{ _class_name: 'FlowMatchEulerDiscreteScheduler', use_dynamic_shifting: true }, { steps: 2 }, /needs \{ mu \}/],
  [{ _class_name: 'PNDMScheduler' }, { steps: 3 }, /ask for 4 or more/],
  [{ _class_name: 'UniPCMultistepScheduler' }, { steps: 1000 }, /1000 steps come to timestep 500 twice/],
  [{ _class_name: 'DPMSolverMultistepScheduler' }, { steps: 1000 }, /timestep 500 twice, .* ask for fewer steps/],
] as const)('bad input %# is a clear error', async (config, run, message) => {
  const failed = await finish(config, run).catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(ArgumentError)
  expect((failed as Error).message).toMatch(message)
})

test('NaN from the network is an error that names the step', async () => {
  const broken = (x: NdArray, t: number) => (t < 500 ? x.mul(NaN) : x)
  const failed = await finish({}, { steps: 10 }, broken).catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(NonFiniteError)
  expect(failed).toMatchObject({ step: 5, message: expect.stringContaining('step 5 (DDIMScheduler, t = 400)') })
})

test('options that only other classes know are left aside, null means the default', async () => {
  const plain = await finish({}, { steps: 3 })
  const shared = await finish(
    { skip_prk_steps: true, trained_betas: null, beta_start: null, _diffusers_version: '0.6' },
    { steps: 3 },
  )
  expect(shared.data).toEqual(plain.data)
})

test('options that no class reads are left aside with a warning', async () => {
  const notes = { tensor_format: 'pt', predict_epsilon: true, comment: 'tried on cats', option_of_2030: { x: [1] } }
  const scheduler = schedulerFromConfig({ _class_name: 'DDIMScheduler', bet_start: 1, ...notes })
  expect(scheduler.warnings).toHaveLength(5)
  expect(scheduler.warnings[0]).toMatch(/DDIMScheduler: no scheduler reads the option bet_start; options .* beta_start/)
  expect(
    schedulerFromConfig({ _class_name: 'DDIMScheduler', skip_prk_steps: true, _notes: 1, trained_betas: null }).warnings,
  ).toEqual([])
  const [with_, without] = [await finish(notes, { steps: 3 }), await finish({}, { steps: 3 })]
  expect(with_.data).toEqual(without.data)
})

test.each(['EulerDiscreteScheduler', 'HeunDiscreteScheduler', 'LMSDiscreteScheduler', 'EulerAncestralDiscreteScheduler'])(
  '%s takes levels with and without the final 0',
  async (name) => {
    const sigmas = alignYourSteps.stableDiffusion.sigmas
    const [given, bare] = await Promise.all(
      [sigmas, sigmas.slice(0, -1)].map((own) => finish({ _class_name: name }, { sigmas: own })),
    )
    expect(given?.allFinite()).toBe(true)
    expect(given?.data).toEqual(bare?.data)
  },
)

test.each([
  ['FlowMatchEulerDiscreteScheduler', {}],
  ['FlowMatchLCMScheduler', {}],
  ['UniPCMultistepScheduler', { use_flow_sigmas: true, prediction_type: 'flow_prediction' }],
])('%s takes flow levels with and without the final 0', async (name, config) => {
  const run = (sigmas: number[]) => finish({ _class_name: name, ...config }, { sigmas })
  expect((await run([1, 0.7, 0.2, 0])).data).toEqual((await run([1, 0.7, 0.2])).data)
})

test('levels of one’s own end at 0, whatever a config says of its own levels’ end', async () => {
  const run = (final_sigmas_type: string) =>
    finish({ _class_name: 'EulerDiscreteScheduler', final_sigmas_type }, { sigmas: [9, 3, 0.2] })
  expect((await run('sigma_min')).data).toEqual((await run('zero')).data)
})

/** The standard deviation that a class gives samples of N(0, s²) with the ideal network, whose answer is known. */
async function deviation(scheduler: Scheduler, run: RunOptions, bars: Float32Array, std: number): Promise<number> {
  const ideal = (x: NdArray, t: number) =>
    x.mul(Math.sqrt(1 - (bars[t] as number)) / ((bars[t] as number) * std * std + 1 - (bars[t] as number)))
  const sampling = scheduler.run(ideal, new Generator(3).randn([1, 1, 64, 64]), run)
  let step = await sampling.next()
  while (!step.done) step = await sampling.next()
  return step.value.std().item()
}

test('DDIM with timesteps of one’s own lands on the next of them, and its inverse leaves from there', async () => {
  const timesteps = [...new Set(Array.from({ length: 98 }, (_, i) => Math.round(990 * ((98 - i) / 98) ** 2)))]
  const bars = alphasCumprod(betaSchedule('linear'))
  const ddim = schedulerFromConfig({ _class_name: 'DDIMScheduler', clip_sample: false })
  expect(Math.abs((await deviation(ddim, { timesteps }, bars, 0.5)) - 0.5)).toBeLessThan(0.02)
  const network = (x: NdArray, t: number) =>
    x.mul(Math.sqrt(1 - (bars[t] as number)) / ((bars[t] as number) * 0.25 + 1 - (bars[t] as number)))
  const data = new Generator(4).randn([1, 1, 16, 16]).mul(0.5)
  const inverse = schedulerFromConfig({ _class_name: 'DDIMInverseScheduler', clip_sample: false })
  const encode = inverse.run(network, data, { timesteps })
  let step = await encode.next()
  while (!step.done) step = await encode.next()
  const decode = ddim.run(network, step.value, { timesteps })
  let back = await decode.next()
  while (!back.done) back = await decode.next()
  expect(back.value.sub(data).abs().max().item()).toBeLessThan(0.1)
})

test('trailing timesteps are those of NumPy, and never more than the steps', () => {
  const trailing = (name: string, steps: number) =>
    schedulerFromConfig({ _class_name: name, timestep_spacing: 'trailing' }).timesteps(steps)
  for (const name of ['DDIMScheduler', 'EulerDiscreteScheduler', 'DPMSolverMultistepScheduler']) {
    expect(trailing(name, 48)[3], name).toBe(936)
    expect(trailing(name, 61), name).toHaveLength(61)
    expect(trailing(name, 61).at(-1), name).toBeGreaterThanOrEqual(0)
  }
})

test('timesteps with fractions are read without them where tables hold whole ones', () => {
  for (const name of ['DDPMScheduler', 'DDIMScheduler', 'DPMSolverMultistepScheduler', 'LCMScheduler', 'TCDScheduler'])
    expect(schedulerFromConfig({ _class_name: name }).timesteps({ timesteps: [900.7, 400.2, 3] }), name).toEqual([900, 400, 3])
  const euler = schedulerFromConfig({ _class_name: 'EulerDiscreteScheduler' })
  expect(euler.timesteps({ timesteps: [900.7, 3] })).toEqual([900.7, 3])
})

test('one step of the variance-exploding SDE is finite', async () => {
  expect((await finish({ _class_name: 'ScoreSdeVeScheduler' }, { steps: 1 }, (x) => x.mul(-0.1))).allFinite()).toBe(true)
})

test('the override of a state may go by its former name', async () => {
  const override = (x: NdArray) => x.mul(0.5)
  expect((await finish({}, { steps: 3, blend: override })).data).toEqual((await finish({}, { steps: 3, renew: override })).data)
})

test('the same seed gives the same sample; another seed another', async () => {
  const [a, b, c] = await Promise.all([1, 1, 2].map((seed) => finish({ _class_name: 'DDPMScheduler' }, { steps: 5, seed })))
  expect(b?.data).toEqual(a?.data)
  expect(c?.data).not.toEqual(a?.data)
})

test('a run that starts late is the tail of the whole run', async () => {
  const names = schedulerClasses.filter(
    (name) => /Euler|Heun|DDIM|KDPM2D|LCM/.test(name) && !/Ancestral|LCM|EDM|Inverse|Flow/.test(name),
  )
  for (const name of names) {
    const scheduler = schedulerFromConfig({ _class_name: name, clip_sample: false })
    const x = new Generator(0).randn([1, 2, 4, 4]).mul(scheduler.initialSigma(6))
    const network = (at: NdArray, t: number) => at.mul(0.5 + t / 2000)
    const whole = scheduler.run(network, x, { steps: 6 })
    let step = await whole.next()
    let third: NdArray | undefined
    while (!step.done) {
      if (step.value.i === 2) third = step.value.x
      step = await whole.next()
    }
    const tail = scheduler.run(network, third as NdArray, { steps: 6, start: 2 })
    let late = await tail.next()
    while (!late.done) late = await tail.next()
    expect(late.value.data, name).toEqual(step.value.data)
  }
})

test('a thousand steps hold on to a few states only', async () => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const scheduler = schedulerFromConfig({ _class_name: 'UniPCMultistepScheduler', solver_order: 3 })
  const sampling = scheduler.run((x) => x.mul(0.99), NdArray.full([1, 3, 16, 16], 0.5), { steps: 990 })
  const states: WeakRef<NdArray>[] = []
  let step = await sampling.next()
  while (!step.done) {
    states.push(new WeakRef(step.value.x))
    step = await sampling.next()
    if (states.length === 900) break
  }
  await new Promise((resolve) => setTimeout(resolve))
  collect()
  expect(states.filter((state) => state.deref()).length).toBeLessThan(20)
})
