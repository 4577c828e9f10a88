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

/** What a class makes of a config. */
export interface ReadOptions<O extends Options> {
  readonly options: O
  /** Keys that no class reads, a sentence each. */
  readonly warnings: readonly string[]
}

/** Why a class cannot use a value for an option of its own; undefined where it can. */
function fault(key: string, value: unknown, fallback: Option, own?: Choices): string | undefined {
  const allowed = own?.[key] ?? (typeof fallback === 'string' ? choices[key] : undefined)
  if (allowed && !allowed.includes(value as string))
    return `${key} is ${JSON.stringify(value)}; expected one of ${allowed.join(', ')}`
  return hasType(value, fallback) ? undefined : `${key} is ${JSON.stringify(value)}; expected a ${typeof fallback}`
}

/**
 * The options of a class: its defaults with the config's values. An option that only other classes know is left aside, as configs are
 * shared among classes; one that no class knows is left aside with a warning, as diffusers leaves it, since configs carry notes and
 * options of other versions.
 */
export function readOptions<O extends Options>(
  config: SchedulerConfig,
  defaults: O,
  known: ReadonlySet<string>,
  own?: Choices,
): ReadOptions<O> {
  const name = config._class_name
  const warnings: string[] = []
  for (const [key, value] of Object.entries(config)) {
    if (key.startsWith('_') || value === null || value === undefined) continue
    const fallback = defaults[key]
    if (fallback === undefined) {
      if (!known.has(key))
        warnings.push(`${name}: no scheduler reads the option ${key}; options of this class: ${Object.keys(defaults).join(', ')}`)
      continue
    }
    const why = fault(key, value, fallback, own)
    if (why) throw new SchedulerConfigError(`${name}: ${why}`)
  }
  const given = Object.fromEntries(
    Object.entries(config).filter(([key, value]) => key in defaults && value !== undefined && value !== null),
  )
  return { options: { ...defaults, ...given }, warnings }
}

function hasType(value: unknown, like: Option): boolean {
  if (like === null) return typeof value !== 'object' || Array.isArray(value)
  if (typeof like === 'number') return typeof value === 'number' && !Number.isNaN(value)
  return Array.isArray(like) ? Array.isArray(value) : typeof value === typeof like
}

/** Options of which a config may set one only. */
const exclusive = [['use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas', 'use_lu_lambdas']]

/**
 * One config over another, as `Class.from_config(model.scheduler.config, option=…)` does: the model's own options stay (its betas,
 * its prediction type), the override's win. `override` may name a class, or options, or both. An override that spreads the levels in
 * one way takes back the base's other way; of another class's options, those whose value the new class does not have are left out.
 */
export function mergeConfigs(
  base: SchedulerConfig,
  override: Readonly<Record<string, unknown>>,
  spec: { readonly defaults: Options; readonly choices?: Choices },
): SchedulerConfig {
  const name = (override._class_name ?? base._class_name) as string
  const defaulted = Array.isArray(base._use_default_values) ? (base._use_default_values as string[]) : []
  const taken = new Set(
    exclusive.flatMap((ways) => (ways.some((way) => override[way] === true) ? ways.filter((way) => !(way in override)) : [])),
  )
  const kept = Object.entries(base).filter(([key, value]) => {
    if (key.startsWith('_') || defaulted.includes(key) || taken.has(key)) return false
    const fallback = spec.defaults[key]
    if (name === base._class_name || fallback === undefined || value === null || value === undefined) return true
    return fault(key, value, fallback, spec.choices) === undefined
  })
  return { ...Object.fromEntries(kept), ...override, _class_name: name }
}
