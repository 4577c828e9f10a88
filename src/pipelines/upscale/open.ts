import { FolderError } from '../../checkpoints/errors.ts'
import { loadConfig, openWeights } from '../../checkpoints/folder.ts'
import { matchWeights } from '../../checkpoints/match.ts'
import { openWeightFile } from '../../checkpoints/weight-file.ts'
import type { Shape } from '../../core/shape.ts'
import { type RrdbNetConfig, renameEsrgan, rrdbNet, rrdbNetConfig, rrdbNetConfigOf } from '../../models/rrdbnet/index.ts'
import { type SrvggConfig, srvggConfig, srvggConfigOf, srvggNet } from '../../models/srvgg/index.ts'
import { type Swin2SrConfig, swin2Sr, swin2SrConfig, swin2SrConfigOf } from '../../models/swin2sr/index.ts'
import { isSwinBuffer, type SwinIrConfig, swinIr, swinIrConfig, swinIrConfigOf } from '../../models/swinir/index.ts'
import type { Layer } from '../../nn/layers.ts'
import { Params } from '../../nn/params.ts'
import { existsSync, join, statSync } from '../../runtime/system.ts'
import type { Weights } from '../../runtime/weights.ts'
import { modelFolder } from '../open/zoo.ts'
import type { Tiling } from './tiles.ts'

/** A network that enlarges or restores pictures, with its weights not yet in memory. */
export interface UpscalerNetwork {
  readonly className: 'RRDBNet' | 'SRVGGNetCompact' | 'SwinIR' | 'Swin2SR'
  readonly place: string
  /** Pixels a side that one becomes. */
  readonly scale: number
  /** Channels of its pictures: 1 or 3. */
  readonly channels: number
  /** A picture's sides must be multiples of this many pixels. */
  readonly multiple: number
  /** Its reference implementation's way over large pictures. */
  readonly tiling: Tiling
  /** Whether pictures are mirrored to whole windows and one more, as SwinIR’s program does; else to multiples alone. */
  readonly windows: boolean
  /** Pictures [B, C, H, W] in [0, 1] → [B, C, scale·H, scale·W], its parameters declared in `p`. */
  readonly build: (p: Params) => Layer
  readonly weights: Weights
}

type Facts = Pick<UpscalerNetwork, 'scale' | 'channels' | 'multiple' | 'tiling' | 'windows' | 'build'>

const inWindows = ({ upscale, in_chans, window_size }: Pick<SwinIrConfig, 'upscale' | 'in_chans' | 'window_size'>) => ({
  scale: upscale,
  channels: in_chans,
  multiple: window_size,
  tiling: { type: 'average', overlap: 32 } as const,
  windows: true,
})

const classes = {
  RRDBNet: {
    read: rrdbNetConfig,
    fromShapes: rrdbNetConfigOf,
    facts: (config: RrdbNetConfig): Facts => ({
      scale: config.scale,
      channels: config.num_in_ch,
      multiple: 4 / config.scale,
      tiling: { type: 'context', context: 10 },
      windows: false,
      build: (p) => rrdbNet(p, config),
    }),
  },
  SRVGGNetCompact: {
    read: srvggConfig,
    fromShapes: srvggConfigOf,
    facts: (config: SrvggConfig): Facts => ({
      scale: config.upscale,
      channels: config.num_in_ch,
      multiple: 1,
      tiling: { type: 'context', context: 10 },
      windows: false,
      build: (p) => srvggNet(p, config),
    }),
  },
  SwinIR: {
    read: swinIrConfig,
    fromShapes: swinIrConfigOf,
    facts: (config: SwinIrConfig): Facts => ({ ...inWindows(config), build: (p) => swinIr(p, config) }),
  },
  Swin2SR: {
    read: swin2SrConfig,
    fromShapes: swin2SrConfigOf,
    facts: (config: Swin2SrConfig): Facts => ({ ...inWindows(config), build: (p) => swin2Sr(p, config) }),
  },
} as const
type ClassName = keyof typeof classes

/**
 * Opens an upscaler: a folder with `config.json`, one of the published files (`.pth` or safetensors; the sizes come from the
 * shapes), or a bundled one by its name. Every key and shape is held against the network; no weight is read yet.
 *
 * @throws FolderError, ConfigError, ModelConfigError, CheckpointError, SafetensorsError, PickleError
 */
export function openUpscaler(model: string): UpscalerNetwork {
  return existsSync(model) && statSync(model).isFile() ? openFile(model) : openFolder(modelFolder(model))
}

function openFolder(dir: string): UpscalerNetwork {
  const file = join(dir, 'config.json')
  const config = loadConfig(dir)
  const className = config._class_name as ClassName
  if (!Object.hasOwn(classes, className)) throw new FolderError(file, `is ${className}; upscalers are ${names}`)
  const facts = classes[className].facts(classes[className].read(config, file) as never)
  return { className, place: dir, ...facts, weights: matched(facts, openWeights(dir), dir) }
}

const names = Object.keys(classes).join(', ')

function openFile(file: string): UpscalerNetwork {
  const weights: Weights = new Map([...openWeightFile(file).tensors].map(([key, value]) => [renameEsrgan(key), value]))
  const shapes: ReadonlyMap<string, Shape> = new Map([...weights].map(([key, { shape }]) => [key, shape]))
  const className = classIn(shapes)
  if (!className) throw new FolderError(file, `has the keys of no upscaler that is known; upscalers are ${names}`)
  const facts = classes[className].facts(classes[className].fromShapes(shapes, file) as never)
  return { className, place: file, ...facts, weights: matched(facts, weights, file) }
}

function classIn(shapes: ReadonlyMap<string, Shape>): ClassName | undefined {
  if (shapes.has('body.0.rdb1.conv1.weight')) return 'RRDBNet'
  if (shapes.has('layers.0.residual_group.blocks.0.attn.logit_scale')) return 'Swin2SR'
  if (shapes.has('layers.0.residual_group.blocks.0.attn.qkv.weight')) return 'SwinIR'
  if (shapes.has('body.0.weight')) return 'SRVGGNetCompact'
  return undefined
}

function matched({ build }: Facts, weights: Weights, place: string): Weights {
  const p = new Params()
  build(p)
  return matchWeights(p.tensors, weights, { place, ignore: isSwinBuffer })
}
