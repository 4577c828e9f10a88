import type { TrainingOptions } from './task.ts'

const defaults = {
  seed: 0,
  learningRate: 1e-4,
  rateSchedule: 'constant',
  warmup: 500,
  optimizer: 'adamw',
  adam: {},
  maxGradNorm: 1,
  accumulation: 1,
  processes: 1,
  ema: 0.9999,
  checkpointEvery: 1000,
  keepCheckpoints: 2,
  resume: false,
  device: 'cpu',
  threads: 0,
} as const satisfies Partial<TrainingOptions>

/** Options with a value for all that have a default. */
export type Settings = Required<Pick<TrainingOptions, keyof typeof defaults>> & TrainingOptions

export const settingsOf = (options: TrainingOptions): Settings => ({ ...defaults, ...options })
