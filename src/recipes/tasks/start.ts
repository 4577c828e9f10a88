import { join } from 'node:path'
import { z } from 'zod'
import { loadConfig } from '../../checkpoints/index.ts'
import { type UNet2DConfig, unet2dConfig } from '../../models/unet/index.ts'
import type { Params } from '../../nn/params.ts'
import { modelFolder } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { checkOneOf, valuesIn } from '../stored.ts'

/** Which network of pictures a recipe trains: a new one, or a trained one that it goes on from. */
export const networkFields = {
  /** The network, where it does not come with `pretrained` weights. */
  unet: z.record(z.string(), z.unknown()).optional(),
  /** A model to go on from, by its folder or the name of a bundled one: fine-tuning. */
  pretrained: z.string().optional(),
}
interface NetworkFields {
  readonly unet?: Record<string, unknown> | undefined
  readonly pretrained?: string | undefined
}

export interface StartingNetwork {
  readonly config: UNet2DConfig
  /** The task's `start`, once the network is traced: the values of a trained one. */
  start(params: Params): { readonly start?: ReadonlyMap<string, NdArray> }
}

/** @throws ArgumentError unless one of the two is given; what is wrong with the folder */
export function startingNetwork({ unet, pretrained }: NetworkFields, resolution: number, recipe: string): StartingNetwork {
  checkOneOf(recipe, { unet, pretrained })
  if (pretrained === undefined) return { config: unet2dConfig({ ...unet, sample_size: resolution }, 'unet'), start: () => ({}) }
  const folder = join(modelFolder(pretrained), 'unet')
  return {
    config: unet2dConfig({ ...loadConfig(folder), sample_size: resolution }, folder),
    start: (params) => ({ start: valuesIn(folder, params) }),
  }
}
