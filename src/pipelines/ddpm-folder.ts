import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  ConfigError,
  FolderError,
  loadConfig,
  matchWeights,
  openWeights,
  readModelIndex,
  saveConfig,
  saveModel,
  writeModelIndex,
} from '../checkpoints/index.ts'
import type { SchedulerConfig } from '../diffusion/index.ts'
import { type UNet2DConfig, unet2d, unet2dConfig } from '../models/unet/index.ts'
import { Params } from '../nn/params.ts'
import { renameAttention } from '../nn/spatial-attention.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Weights } from '../runtime/weights.ts'
import { schedulerNamed } from './options.ts'

/** What a folder holds, or a training run has in its hands. */
export interface DdpmParts {
  /** Its `sample_size` is the pictures' size. */
  readonly config: UNet2DConfig
  readonly scheduler: SchedulerConfig
  readonly weights: Weights
}

/** The class of scheduler that a pipeline forces upon its config, where it does. */
const pipelines: Readonly<Record<string, string | undefined>> = { DDPMPipeline: undefined, DDIMPipeline: 'DDIMScheduler' }

/**
 * Reads a folder of a diffusers `DDPMPipeline` or `DDIMPipeline`: `model_index.json`, `unet/`, `scheduler/`.
 *
 * @param options.variant as `fp16`: which of the weights
 * @throws ConfigError, FolderError, ModelConfigError, CheckpointError, SchedulerConfigError: what is wrong with which file
 */
export function openDdpm(dir: string, { variant }: { readonly variant?: string } = {}): DdpmParts {
  const file = join(dir, 'model_index.json')
  if (!existsSync(file)) {
    throw new FolderError(
      dir,
      'has no model_index.json; expected what save_pretrained of a DDPMPipeline writes: it, unet/ and scheduler/',
    )
  }
  const { _class_name: name, components } = readModelIndex(dir)
  if (!Object.hasOwn(pipelines, name)) {
    const known = Object.keys(pipelines).join(' and ')
    throw new ConfigError(file, `is ${name}; pictures without a condition come from ${known}`, { field: '_class_name' })
  }
  for (const part of ['unet', 'scheduler']) {
    if (!components.get(part)) throw new ConfigError(file, `lacks this component of a ${name}`, { field: part })
  }
  const unetDir = join(dir, 'unet')
  const config = unet2dConfig(loadConfig(unetDir), join(unetDir, 'config.json'))
  if (config.sample_size === null)
    throw new ConfigError(join(unetDir, 'config.json'), 'must be the size of the pictures', { field: 'sample_size' })
  const stored = loadConfig(join(dir, 'scheduler'), 'scheduler_config.json')
  const scheduler: SchedulerConfig = { ...stored, _class_name: pipelines[name] ?? stored._class_name ?? 'DDPMScheduler' }
  schedulerNamed(undefined, scheduler)

  const p = new Params()
  unet2d(p, config)
  const weights = matchWeights(p.tensors, openWeights(unetDir, variant === undefined ? {} : { variant }), {
    place: unetDir,
    rename: renameAttention,
  })
  return { config, scheduler, weights }
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
