import { type SchedulerConfig, SchedulerConfigError } from './config.ts'
import { mergeSchedulerConfig, schedulerClasses, schedulerFromConfig, schedulerOptions } from './registry.ts'
import type { Scheduler } from './scheduler.ts'

// Samplers by the names that people use: AUTOMATIC1111's, ComfyUI's and diffusers'. A name is a sampler's, or a sampler's with a
// schedule's after it: "DPM++ 2M Karras", "dpmpp_2m karras", "Euler a", "EulerDiscreteScheduler".

type Overrides = Readonly<Record<string, unknown>>

export interface NamedSampler {
  /** AUTOMATIC1111's spelling, where it has one. */
  readonly name: string
  readonly aliases: readonly string[]
  readonly className: string
  readonly options: Overrides
}

const named = (name: string, className: string, aliases: readonly string[] = [], options: Overrides = {}): NamedSampler => ({
  name,
  aliases,
  className: `${className}Scheduler`,
  options,
})

const multistep = 'DPMSolverMultistep'
// A name says all of its solver: nothing of it is left to the config that it is laid over.
const ode = { algorithm_type: 'dpmsolver++', solver_order: 2, solver_type: 'midpoint' }
const sde = { ...ode, algorithm_type: 'sde-dpmsolver++' }

/** Every named sampler. "dpmpp" is read as "dpm++", and underscores, hyphens, case and ComfyUI's "_gpu" do not count. */
export const samplerTable: readonly NamedSampler[] = [
  named('Euler', 'EulerDiscrete', ['k euler']),
  named('Euler a', 'EulerAncestralDiscrete', ['euler ancestral', 'k euler ancestral', 'k euler a']),
  named('Heun', 'HeunDiscrete', ['k heun']),
  named('LMS', 'LMSDiscrete', ['k lms']),
  named('DPM2', 'KDPM2Discrete', ['dpm 2', 'k dpm 2', 'kdpm2']),
  named('DPM2 a', 'KDPM2AncestralDiscrete', ['dpm 2 ancestral', 'dpm 2 a', 'dpm2 ancestral', 'k dpm 2 ancestral', 'k dpm 2 a']),
  named('DPM++ 2M', multistep, ['dpm++', 'dpm solver', 'dpm solver++', 'dpm solver multistep'], ode),
  named('DPM++ 2M SDE', multistep, ['dpm++ sde 2m'], sde),
  named('DPM++ 2M SDE Heun', multistep, [], { ...sde, solver_type: 'heun' }),
  named('DPM++ 3M', multistep, [], { ...ode, solver_order: 3 }),
  named('DPM++ 3M SDE', multistep, [], { ...sde, solver_order: 3 }),
  named('DPM++ 2S', 'DPMSolverSinglestep', ['dpm solver singlestep'], ode),
  named('DPM++ SDE', 'DPMSolverSDE', ['dpm solver sde', 'k dpm++ sde']),
  named('DEIS', 'DEISMultistep'),
  named('UniPC', 'UniPCMultistep', ['uni pc', 'uni pc bh1'], { solver_type: 'bh1' }),
  named('UniPC bh2', 'UniPCMultistep', ['uni pc bh2'], { solver_type: 'bh2' }),
  named('SA-Solver', 'SASolver', ['sa solver']),
  named('DDIM', 'DDIM'),
  named('DDPM', 'DDPM'),
  named('PLMS', 'PNDM', [], { skip_prk_steps: true }),
  named('PNDM', 'PNDM', [], { skip_prk_steps: false }),
  named('IPNDM', 'IPNDM'),
  named('LCM', 'LCM'),
  named('TCD', 'TCD'),
  named('EDM Euler', 'EDMEuler'),
  named('EDM DPM++ 2M', 'EDMDPMSolverMultistep'),
  named('Flow Euler', 'FlowMatchEulerDiscrete', ['flow match euler']),
  named('Flow Heun', 'FlowMatchHeunDiscrete', ['flow match heun']),
  named('Flow LCM', 'FlowMatchLCM', ['flow match lcm']),
]

export interface NamedSchedule {
  readonly name: string
  readonly aliases: readonly string[]
  readonly options: Overrides
}

/** Every named schedule: how the levels are spread, or the timesteps spaced. */
export const scheduleTable: readonly NamedSchedule[] = [
  { name: 'Karras', aliases: [], options: { use_karras_sigmas: true } },
  { name: 'Exponential', aliases: [], options: { use_exponential_sigmas: true } },
  { name: 'Beta', aliases: [], options: { use_beta_sigmas: true } },
  { name: 'Lu', aliases: ['lu lambdas'], options: { use_lu_lambdas: true } },
  { name: 'SGM Uniform', aliases: ['sgm', 'trailing', 'simple'], options: { timestep_spacing: 'trailing' } },
  { name: 'Normal', aliases: ['uniform', 'linspace'], options: { timestep_spacing: 'linspace' } },
  { name: 'DDIM Uniform', aliases: ['leading'], options: { timestep_spacing: 'leading', steps_offset: 1 } },
  { name: 'Automatic', aliases: ['default'], options: {} },
]

/** What does not count in a name. */
const plain = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/dpmpp/g, 'dpm++')
    .replace(/[\s_-]+/g, ' ')
    .replace(/ gpu\b/g, '')

const samplersByName = new Map(samplerTable.flatMap((s) => [s.name, ...s.aliases].map((name) => [plain(name), s] as const)))
const schedulesByName = new Map(scheduleTable.flatMap((s) => [s.name, ...s.aliases].map((name) => [plain(name), s] as const)))
const classesByName = new Map(
  schedulerClasses.flatMap((name) => [name, name.replace(/(Discrete)?Scheduler$/, '')].map((n) => [plain(n), name] as const)),
)

function samplerNamed(name: string): NamedSampler | undefined {
  const className = classesByName.get(name)
  return samplersByName.get(name) ?? (className ? { name: className, aliases: [], className, options: {} } : undefined)
}

/** How many letters must change, come or go to make one word of another (Levenshtein 1966). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + Number(a[i - 1] !== b[j - 1])),
      )
    row = next
  }
  return row[b.length] as number
}

const nearest = (name: string, names: Iterable<string>): string[] =>
  [...new Set(names)].sort((a, b) => distance(plain(a), name) - distance(plain(b), name)).slice(0, 3)

/** The class and options of a name, with its schedule's: what `mergeSchedulerConfig` lays over a model's own config. */
export function samplerConfig(name: string, schedule?: string): Overrides & { readonly _class_name: string } {
  const words = plain(name).split(' ')
  for (let cut = words.length; cut > 0; cut--) {
    const sampler = samplerNamed(words.slice(0, cut).join(' '))
    const rest = words.slice(cut).join(' ')
    if (!sampler || (rest && !schedulesByName.has(rest))) continue
    if (rest && schedule && schedulesByName.get(rest) !== schedulesByName.get(plain(schedule)))
      throw new SchedulerConfigError(`${name} names one schedule and ${schedule} another; give one`)
    return { ...sampler.options, ...scheduleOptions(sampler, rest || schedule), _class_name: sampler.className }
  }
  const near = nearest(plain(name), [...samplerTable.map((s) => s.name), ...schedulerClasses])
  throw new SchedulerConfigError(`unknown sampler ${JSON.stringify(name)}; nearest names: ${near.join(', ')}`)
}

function scheduleOptions(sampler: NamedSampler, name: string | undefined): Overrides {
  if (!name) return {}
  const schedule = schedulesByName.get(plain(name))
  if (!schedule) {
    const near = nearest(
      plain(name),
      scheduleTable.map((s) => s.name),
    )
    throw new SchedulerConfigError(`unknown schedule ${JSON.stringify(name)}; nearest names: ${near.join(', ')}`)
  }
  const own = schedulerOptions(sampler.className)
  const foreign = Object.keys(schedule.options).find((key) => !(key in own))
  // A flow's levels have no spacing of timesteps: its even levels are what these names ask for.
  if (foreign && sampler.className.startsWith('FlowMatch') && 'timestep_spacing' in schedule.options) return {}
  if (foreign)
    throw new SchedulerConfigError(
      `${sampler.name} has no schedule ${schedule.name}, as ${sampler.className} has no ${foreign}; choose another sampler`,
    )
  if (!('timestep_spacing' in schedule.options)) return schedule.options
  // Spaced timesteps are no spread levels, even where the model's own config asks for those.
  const spread = ['use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas', 'use_lu_lambdas'].filter((key) => key in own)
  return { ...Object.fromEntries(spread.map((key) => [key, false])), ...schedule.options }
}

/** Samplers of a network that predicts a flow: the flow's own classes, or a solver with flow levels. */
function forFlow(base: SchedulerConfig, override: Overrides & { readonly _class_name: string }): Overrides {
  const own: Readonly<Record<string, string>> = {
    EulerDiscreteScheduler: 'FlowMatchEulerDiscreteScheduler',
    HeunDiscreteScheduler: 'FlowMatchHeunDiscreteScheduler',
    LCMScheduler: 'FlowMatchLCMScheduler',
  }
  const { _class_name: name, ...options } = override
  if (name.startsWith('FlowMatch')) return override
  const flow = own[name]
  if (flow) {
    const { timestep_spacing: _, steps_offset: __, ...rest } = options
    return { ...rest, _class_name: flow }
  }
  if (!('use_flow_sigmas' in schedulerOptions(name)))
    throw new SchedulerConfigError(`${name} cannot sample a flow; choose Euler, Heun, LCM, DPM++ 2M, DEIS or UniPC`)
  return { ...override, use_flow_sigmas: true, prediction_type: 'flow_prediction', flow_shift: base.shift ?? 1 }
}

/**
 * A model's scheduler under another sampler's name: `schedulerByName(config, 'DPM++ 2M Karras')`, or with the schedule apart, as
 * ComfyUI has it: `schedulerByName(config, 'dpmpp_2m', 'karras')`. What the network was trained with stays.
 */
export function schedulerByName(base: SchedulerConfig, name: string, schedule?: string): Scheduler {
  const override = samplerConfig(name, schedule)
  const isFlow = base._class_name.startsWith('FlowMatch')
  return schedulerFromConfig(mergeSchedulerConfig(base, isFlow ? forFlow(base, override) : override))
}
