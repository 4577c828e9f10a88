import * as cogvideox from './cogvideox.ts'
import { readOptions, type SchedulerConfig, SchedulerConfigError } from './config.ts'
import * as ddpm from './ddpm.ts'
import * as distilled from './distilled.ts'
import * as edm from './edm.ts'
import * as flow from './flow.ts'
import * as karras from './karras.ts'
import * as pndm from './pndm.ts'
import { type Kind, type Scheduler, schedulerOf } from './scheduler.ts'
import * as solvers from './solvers.ts'
import * as special from './special.ts'

const kinds: Readonly<Record<string, Kind>> = {
  ...ddpm,
  ...karras,
  ...solvers,
  ...pndm,
  ...distilled,
  ...edm,
  ...flow,
  ...cogvideox,
  ...special,
}

/** The classes that `schedulerFromConfig` knows. */
export const schedulerClasses: readonly string[] = Object.keys(kinds)

const known = new Set(Object.values(kinds).flatMap(({ defaults }) => Object.keys(defaults)))

/**
 * The sampler that a diffusers `scheduler_config.json` describes, with the same numbers: the same timesteps, the same draws
 * for a seed, the same sample. A class, an option or a value that is not known is a SchedulerConfigError that lists those
 * that are.
 */
export function schedulerFromConfig(config: SchedulerConfig): Scheduler {
  const kind = kinds[config._class_name]
  if (!kind)
    throw new SchedulerConfigError(`unknown scheduler class ${config._class_name}; known classes: ${schedulerClasses.join(', ')}`)
  return schedulerOf(config, readOptions(config, kind.defaults, known, kind.choices), kind)
}

export { type SchedulerConfig, SchedulerConfigError } from './config.ts'
export type { Model, RunOptions, Scheduler } from './scheduler.ts'
