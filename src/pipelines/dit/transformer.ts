import { isObject } from '../../checkpoints/json.ts'
import type { ClassName } from '../open/classes.ts'
import { type OpenedNetwork, openNetwork, type Stored } from '../open/network.ts'
import type { Part } from '../open/parts.ts'

/** The class that both had before each had its own; its `norm_type` tells which it is. */
const former = 'Transformer2DModel'
const normOf = { DiTTransformer2DModel: 'ada_norm_zero', PixArtTransformer2DModel: 'ada_norm_single' } as const

/** Fields of the former class that say nothing of these networks, with the value that they have there. */
const idle: Readonly<Record<string, unknown>> = {
  attention_type: 'default',
  caption_channels: null,
  cross_attention_dim: null,
  double_self_attention: false,
  interpolation_scale: null,
  num_vector_embeds: null,
  only_cross_attention: false,
  use_additional_conditions: null,
  use_linear_projection: false,
}

/** A transformer of this class, also under the name that published folders have for it: diffusers reads both alike. */
export const transformerPart = <N extends keyof typeof normOf>(className: N): Part<OpenedNetwork<N>> => ({
  open(source, component) {
    const stored = source.network(component, [className, former as ClassName]) as Stored<ClassName>
    return openNetwork({ ...stored, className, config: today(stored.config, className) } as Stored<N>)
  },
})

/** The config as the class of today writes it. Where the former class is another network's, its name stays, and is refused. */
function today(config: unknown, className: keyof typeof normOf): unknown {
  if (!isObject(config) || config._class_name !== former || config.norm_type !== normOf[className]) return config
  const own = Object.entries(config).filter(([key, value]) => !(key in idle) || value !== idle[key])
  return { ...Object.fromEntries(own), _class_name: className }
}
