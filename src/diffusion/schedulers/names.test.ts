import { expect, test } from 'vitest'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import {
  mergeSchedulerConfig,
  type Scheduler,
  SchedulerConfigError,
  samplerConfig,
  samplerTable,
  schedulerByName,
  schedulerClasses,
  schedulerFromConfig,
  scheduleTable,
} from './index.ts'

const stableDiffusion = {
  _class_name: 'PNDMScheduler',
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  prediction_type: 'v_prediction',
  skip_prk_steps: true,
  steps_offset: 1,
}

test.each([
  ['DPM++ 2M Karras', 'DPMSolverMultistepScheduler', { use_karras_sigmas: true, algorithm_type: 'dpmsolver++', solver_order: 2 }],
  ['dpmpp_2m karras', 'DPMSolverMultistepScheduler', { use_karras_sigmas: true }],
  [
    'DPM++ 2M SDE Exponential',
    'DPMSolverMultistepScheduler',
    { algorithm_type: 'sde-dpmsolver++', use_exponential_sigmas: true },
  ],
  ['dpmpp_3m_sde_gpu', 'DPMSolverMultistepScheduler', { algorithm_type: 'sde-dpmsolver++', solver_order: 3 }],
  ['DPM++ SDE Karras', 'DPMSolverSDEScheduler', { use_karras_sigmas: true }],
  ['euler_ancestral', 'EulerAncestralDiscreteScheduler', {}],
  ['Euler a', 'EulerAncestralDiscreteScheduler', {}],
  ['EULER', 'EulerDiscreteScheduler', { use_karras_sigmas: false }],
  ['k_dpm_2_ancestral', 'KDPM2AncestralDiscreteScheduler', {}],
  ['DPM2 a Karras', 'KDPM2AncestralDiscreteScheduler', { use_karras_sigmas: true }],
  ['uni_pc_bh2', 'UniPCMultistepScheduler', { solver_type: 'bh2' }],
  ['PLMS', 'PNDMScheduler', { skip_prk_steps: true }],
  ['euler sgm_uniform', 'EulerDiscreteScheduler', { timestep_spacing: 'trailing' }],
  ['DDIM ddim_uniform', 'DDIMScheduler', { timestep_spacing: 'leading', steps_offset: 1 }],
  ['HeunDiscreteScheduler', 'HeunDiscreteScheduler', {}],
  ['UniPCMultistep beta', 'UniPCMultistepScheduler', { use_beta_sigmas: true }],
] as const)('%s is %s with the network’s own betas and prediction', (name, className, options) => {
  const scheduler = schedulerByName(stableDiffusion, name)
  expect(scheduler.className).toBe(className)
  expect(scheduler.options).toMatchObject({ beta_end: 0.012, beta_schedule: 'scaled_linear', ...options })
  expect(scheduler.options.prediction_type).toBe('v_prediction')
})

test('the schedule may stand apart, as in ComfyUI', () => {
  expect(samplerConfig('dpmpp_2m', 'karras')).toEqual(samplerConfig('DPM++ 2M Karras'))
  expect(samplerConfig('DPM++ 2M Karras', 'Karras')).toEqual(samplerConfig('DPM++ 2M Karras'))
  expect(() => samplerConfig('DPM++ 2M Karras', 'beta')).toThrow(/names one schedule and beta another/)
})

test('every name and alias is of a class that is there, once, and samples', async () => {
  const names = samplerTable.flatMap(({ name, aliases }) => [name, ...aliases])
  for (const name of names) {
    const { _class_name: className } = samplerConfig(name)
    expect(schedulerClasses).toContain(className)
  }
  for (const { name } of samplerTable) {
    const scheduler = schedulerFromConfig(samplerConfig(name))
    expect(scheduler.warnings).toEqual([])
    expect((await sampled(scheduler)).allFinite(), name).toBe(true)
  }
})

async function sampled(scheduler: Scheduler): Promise<NdArray> {
  const x = new Generator(0).randn([1, 1, 4, 4]).mul(scheduler.initialSigma(6))
  const sampling = scheduler.run((at) => at.mul(0.3), x, { steps: 6, seed: 1 })
  let step = await sampling.next()
  while (!step.done) step = await sampling.next()
  return step.value
}

test.each([
  ['DPM++ 2N Karras', /unknown sampler "DPM\+\+ 2N Karras"; nearest names: .*DPM\+\+ 2M/],
  ['Eular a', /nearest names: .*Euler a/],
  ['Restart', /unknown sampler "Restart"/],
  ['', /unknown sampler ""/],
  ['constructor', /unknown sampler "constructor"/],
  ['Euler a Karras', /Euler a has no schedule Karras, as EulerAncestralDiscreteScheduler has no use_karras_sigmas/],
])('%j is a clear error', (name, message) => {
  expect(() => samplerConfig(name)).toThrow(SchedulerConfigError)
  expect(() => samplerConfig(name)).toThrow(message)
})

test('an unknown schedule has suggestions', () => {
  expect(() => samplerConfig('Euler', 'karas')).toThrow(/unknown schedule "karas"; nearest names: Karras/)
  expect(scheduleTable.map((s) => s.name)).toContain('SGM Uniform')
})

test('a name leaves nothing of its solver or schedule to the config under it', () => {
  const base = {
    _class_name: 'DPMSolverMultistepScheduler',
    algorithm_type: 'sde-dpmsolver++',
    solver_order: 3,
    use_karras_sigmas: true,
  }
  const scheduler = schedulerByName(base, 'DPM++ 2M SGM Uniform')
  expect(scheduler.options).toMatchObject({
    algorithm_type: 'dpmsolver++',
    solver_order: 2,
    use_karras_sigmas: false,
    timestep_spacing: 'trailing',
  })
})

test('a flow keeps to flow classes and flow levels', () => {
  const flow = { _class_name: 'FlowMatchEulerDiscreteScheduler', shift: 3 }
  expect(schedulerByName(flow, 'euler', 'simple').className).toBe('FlowMatchEulerDiscreteScheduler')
  expect(schedulerByName(flow, 'Euler Beta').options).toMatchObject({ use_beta_sigmas: true, shift: 3 })
  const dpm = schedulerByName(flow, 'DPM++ 2M')
  expect(dpm.options).toMatchObject({ use_flow_sigmas: true, flow_shift: 3, prediction_type: 'flow_prediction' })
  expect(() => schedulerByName(flow, 'DDIM')).toThrow(/DDIMScheduler cannot sample a flow/)
})

test('a class and an option alone keep the model’s noise schedule', () => {
  const merged = mergeSchedulerConfig(stableDiffusion, { _class_name: 'DPMSolverMultistepScheduler', use_karras_sigmas: true })
  expect(schedulerFromConfig(merged).options).toMatchObject({
    beta_end: 0.012,
    prediction_type: 'v_prediction',
    use_karras_sigmas: true,
  })
})

test('an override takes back what contradicts it, and leaves out what the new class does not have', () => {
  const base = { _class_name: 'SASolverScheduler', algorithm_type: 'data_prediction', use_karras_sigmas: true, beta_end: 0.012 }
  expect(mergeSchedulerConfig(base, { use_beta_sigmas: true })).toEqual({
    _class_name: 'SASolverScheduler',
    algorithm_type: 'data_prediction',
    beta_end: 0.012,
    use_beta_sigmas: true,
  })
  const dpm = mergeSchedulerConfig(base, { _class_name: 'DPMSolverMultistepScheduler' })
  expect(schedulerFromConfig(dpm).options).toMatchObject({
    algorithm_type: 'dpmsolver++',
    use_karras_sigmas: true,
    beta_end: 0.012,
  })
  expect(() => mergeSchedulerConfig(base, { _class_name: 'Nope' })).toThrow(/unknown scheduler class Nope/)
})
