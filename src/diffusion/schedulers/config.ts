import { ArgumentError } from '../../core/errors.ts'

/** A diffusers `scheduler_config.json`: `_class_name` and options; keys that begin with `_` are its bookkeeping. */
export interface SchedulerConfig {
  readonly _class_name: string
  readonly [option: string]: unknown
}

export type Option = number | boolean | string | null | readonly number[] | readonly string[]
export type Options = Readonly<Record<string, Option>>

/** A scheduler_config.json that cannot be followed: the message lists what can. */
export class SchedulerConfigError extends ArgumentError {}

/** The values that options with names may take, for every class that has them. */
const choices: Readonly<Record<string, readonly string[]>> = {
  beta_schedule: ['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace', 'exp'],
  prediction_type: ['epsilon', 'sample', 'v_prediction', 'flow_prediction'],
  timestep_spacing: ['leading', 'linspace', 'trailing'],
}

/** Adds the values that a class's named options may take. */
export type Choices = Readonly<Record<string, readonly string[]>>

/**
 * The options of a class: its defaults with the config's values. An option that no class knows is an error; one that only
 * other classes know is left aside, as configs are shared among classes.
 */
export function readOptions<O extends Options>(
  config: SchedulerConfig,
  defaults: O,
  known: ReadonlySet<string>,
  own?: Choices,
): O {
  const name = config._class_name
  for (const [key, value] of Object.entries(config)) {
    if (key.startsWith('_') || value === null) continue
    const fallback = defaults[key]
    if (fallback === undefined) {
      if (known.has(key)) continue
      throw new SchedulerConfigError(`${name}: unknown option ${key}; known options: ${Object.keys(defaults).join(', ')}`)
    }
    const allowed = own?.[key] ?? (typeof fallback === 'string' ? choices[key] : undefined)
    if (allowed && !allowed.includes(value as string))
      throw new SchedulerConfigError(`${name}: ${key} is ${JSON.stringify(value)}; expected one of ${allowed.join(', ')}`)
    if (!hasKind(value, fallback))
      throw new SchedulerConfigError(`${name}: ${key} is ${JSON.stringify(value)}; expected a ${typeof fallback}`)
  }
  const given = Object.fromEntries(
    Object.entries(config).filter(([key, value]) => key in defaults && value !== undefined && value !== null),
  )
  return { ...defaults, ...given }
}

function hasKind(value: unknown, like: Option): boolean {
  if (like === null) return typeof value !== 'object' || Array.isArray(value)
  if (typeof like === 'number') return typeof value === 'number' && !Number.isNaN(value)
  return Array.isArray(like) ? Array.isArray(value) : typeof value === typeof like
}
