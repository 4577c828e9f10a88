import { ConfigError, FolderError, PickleError, SafetensorsError, SaveError, ShardError } from '../../checkpoints/errors.ts'
import { HubError } from '../../checkpoints/hub-types.ts'
import { LoraError } from '../../checkpoints/lora.ts'
import { CheckpointError } from '../../checkpoints/match.ts'
import { SingleFileError } from '../../checkpoints/single-file.ts'
import { ArgumentError, DTypeError, LangevinError, ShapeError } from '../../core/errors.ts'
import { NonFiniteError } from '../../diffusion/denoiser.ts'
import { OdeError } from '../../diffusion/ode.ts'
import { SchedulerConfigError } from '../../diffusion/schedulers/config.ts'
import { ImageError } from '../../images/errors.ts'
import { ModelConfigError } from '../../models/config.ts'
import { DeviceError } from '../../runtime/devices.ts'
import { EngineError } from '../../runtime/engine-error.ts'
import { StaleFileError } from '../../runtime/stamp.ts'
import { PromptError } from '../../text/errors.ts'
import { InversionError } from '../../text/inversion.ts'
import { FetchError, StorageFullError } from '../store.ts'

/** Classes by their names here: a bundler shortens those in the code. */
const classes: Readonly<Record<string, unknown>> = {
  ...{ ArgumentError, CheckpointError, ConfigError, DTypeError, DeviceError, EngineError, FetchError, FolderError, HubError },
  ...{ ImageError, InversionError, LoraError, ModelConfigError, NonFiniteError, OdeError, PickleError, PromptError },
  ...{ SafetensorsError, SaveError, SchedulerConfigError, ShapeError, ShardError, SingleFileError, StaleFileError },
  ...{ StorageFullError, LangevinError },
}

/** What a page is told of a failure. */
export function told(cause: unknown): { readonly name: string; readonly message: string } {
  if (!(cause instanceof Error)) return { name: 'Error', message: String(cause) }
  const known = Object.entries(classes).find(([, one]) => one === cause.constructor)
  return { name: known?.[0] ?? cause.name, message: cause.message }
}
