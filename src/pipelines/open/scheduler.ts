import { loadConfig } from '../../checkpoints/index.ts'
import { type SchedulerConfig, schedulerFromConfig } from '../../diffusion/index.ts'

/**
 * A scheduler's folder, held against its class at once.
 *
 * @param className where something else than the config names it
 * @throws ConfigError, SchedulerConfigError
 */
export function schedulerIn(dir: string, className?: string): SchedulerConfig {
  const stored = loadConfig(dir, 'scheduler_config.json')
  const config = { ...stored, _class_name: className ?? stored._class_name ?? 'DDPMScheduler' }
  schedulerFromConfig(config)
  return config
}
