export { type SchedulerConfig, SchedulerConfigError } from './config.ts'
export {
  type NamedSampler,
  type NamedSchedule,
  samplerConfig,
  samplerTable,
  schedulerByName,
  scheduleTable,
} from './names.ts'
export { mergeSchedulerConfig, schedulerClasses, schedulerFromConfig, schedulerOptions } from './registry.ts'
export type { AcceptedOption, Blend, Model, ModelCall, RunOptions, Scheduler } from './scheduler.ts'
