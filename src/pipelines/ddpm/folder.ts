import { ConfigError, saveConfig, saveModel, writeModelIndex } from '../../checkpoints/index.ts'
import type { SchedulerConfig } from '../../diffusion/index.ts'
import type { UNet2DConfig } from '../../models/unet/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { join } from '../../runtime/system.ts'
import type { Weights } from '../../runtime/weights.ts'
import { folderSource } from '../open/folder.ts'
import { openNetwork } from '../open/network.ts'
import { network, type PartsOf, scheduler } from '../open/parts.ts'

/** What a folder holds, or a training run has in its hands. */
export interface DdpmParts {
  /** Its `sample_size` is the pictures' size. */
  readonly config: UNet2DConfig
  readonly scheduler: SchedulerConfig
  readonly weights: Weights
}

/** What diffusers' unconditional pipelines have. */
export const ddpmParts = { unet: network(['UNet2DModel'], hasSize), scheduler: scheduler() }

function hasSize({ sample_size: size }: UNet2DConfig, place: string): void {
  if (size === null) throw new ConfigError(place, 'must be the size of the pictures', { field: 'sample_size' })
}

/** The class of scheduler that a pipeline forces upon its config, where it does. */
const pipelines: Readonly<Record<string, string | undefined>> = { DDPMPipeline: undefined, DDIMPipeline: 'DDIMScheduler' }
export const ddpmClasses = Object.keys(pipelines)

/** The parts under the scheduler that the pipeline's class samples with. */
export const ddpmPartsOf = ({ unet, scheduler }: PartsOf<typeof ddpmParts>, className: string): DdpmParts => ({
  config: unet.config,
  weights: unet.weights,
  scheduler: { ...scheduler, _class_name: pipelines[className] ?? scheduler._class_name },
})

/**
 * Reads a folder of a diffusers `DDPMPipeline` or `DDIMPipeline`: `model_index.json`, `unet/`, `scheduler/`.
 *
 * @param options.variant as `fp16`: which of the weights
 * @throws ConfigError, FolderError, ModelConfigError, CheckpointError, SchedulerConfigError: what is wrong with which file
 */
export function openDdpm(dir: string, { variant }: { readonly variant?: string } = {}): DdpmParts {
  const source = folderSource(dir, { variant })
  const { className } = source
  if (!ddpmClasses.includes(className)) {
    const known = ddpmClasses.join(' and ')
    throw new ConfigError(join(dir, 'model_index.json'), `is ${className}; pictures without a condition come from ${known}`, {
      field: '_class_name',
    })
  }
  const unet = openNetwork(source.network('unet', ['UNet2DModel']), hasSize)
  return ddpmPartsOf({ unet, scheduler: source.scheduler('scheduler') }, className)
}

const DIFFUSERS = '0.40.0'

/** Writes a folder that diffusers' DDPMPipeline loads, its weights as float16. @throws SaveError */
export function saveDdpm(
  dir: string,
  { config, scheduler, weights }: DdpmParts & { readonly weights: ReadonlyMap<string, NdArray> },
): void {
  const version = { _diffusers_version: DIFFUSERS }
  const className = scheduler._class_name ?? 'DDPMScheduler'
  saveModel(join(dir, 'unet'), { _class_name: 'UNet2DModel', ...version, ...config }, weights, { dtype: 'f16' })
  saveConfig(join(dir, 'scheduler'), { ...scheduler, _class_name: className, ...version }, 'scheduler_config.json')
  writeModelIndex(dir, {
    _class_name: 'DDPMPipeline',
    ...version,
    components: new Map([
      ['unet', { library: 'diffusers', className: 'UNet2DModel' }],
      ['scheduler', { library: 'diffusers', className }],
    ]),
    options: {},
  })
}
