import * as cogvideox from './cogvideox.ts'
import { mergeConfigs, type Options, readOptions, type SchedulerConfig, SchedulerConfigError } from './config.ts'
import * as ddpm from './ddpm.ts'
import * as distilled from './distilled.ts'
import * as dpmSolvers from './dpm-solvers.ts'
import * as edm from './edm.ts'
import * as flow from './flow.ts'
import * as karras from './karras.ts'
import * as pndm from './pndm.ts'
import { type Scheduler, type SchedulerSpec, schedulerOf } from './scheduler.ts'
import * as solvers from './solvers.ts'
import * as special from './special.ts'

const specs: Readonly<Record<string, SchedulerSpec>> = {
  ...ddpm,
  ...karras,
  ...dpmSolvers,
  ...solvers,
  ...pndm,
  ...distilled,
  ...edm,
  ...flow,
  ...cogvideox,
  ...special,
}

/** The classes that `schedulerFromConfig` knows. */
export const schedulerClasses: readonly string[] = Object.keys(specs)

const known = new Set(Object.values(specs).flatMap(({ defaults }) => Object.keys(defaults)))

function specOf(name: unknown): SchedulerSpec {
  const found = typeof name === 'string' && Object.hasOwn(specs, name) ? specs[name] : undefined
  if (!found) throw new SchedulerConfigError(`unknown scheduler class ${name}; known classes: ${schedulerClasses.join(', ')}`)
  return found
}

/**
 * The sampler that a diffusers `scheduler_config.json` describes, with the same numbers: the same timesteps, the same draws
 * for a seed, the same sample. A class or a value that is not known is a SchedulerConfigError that lists those that are; an option
 * that no class reads is left aside with a sentence in `warnings`.
 */
export function schedulerFromConfig(config: SchedulerConfig): Scheduler {
  const spec = specOf(config._class_name)
  return schedulerOf(config, readOptions(config, spec.defaults, known, spec.choices), spec)
}

/**
 * A model's own scheduler config with another's class and options over it, as diffusers' `Class.from_config(config, …)`: what the
 * network was trained with (betas, prediction type) stays, unless the override says otherwise.
 */
export function mergeSchedulerConfig(base: SchedulerConfig, override: Readonly<Record<string, unknown>>): SchedulerConfig {
  return mergeConfigs(base, override, specOf(override._class_name ?? base._class_name))
}

/** The options of a class with their defaults. */
export const schedulerOptions = (name: string): Options => specOf(name).defaults
