import { ArgumentError } from '../../core/errors.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { Activation } from '../../nn/activation.ts'
import { embedding, type Layer, linear } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { timeEmbedding } from '../../nn/time.ts'

/** The fields of a U-Net's config that decide how it is conditioned on classes. */
export interface ClassFields {
  readonly class_embed_type: 'timestep' | 'identity' | 'projection' | 'simple_projection' | null
  readonly num_class_embeds: number | null
  readonly projection_class_embeddings_input_dim?: number | null
}

/** How the network encodes a time: the layer, the width of its result, and that of the time embedding. */
export interface TimeEncoding {
  readonly encode: Layer
  readonly encoded: number
  readonly width: number
  readonly activation?: Activation
}

/** Class labels → [B, width], or nothing where the network knows no classes; either way, labels that do not fit are refused. */
export type ClassEmbedding = (labels: Tensor | undefined) => Tensor | undefined

/**
 * Labels are i64 [B] for a table of classes, f32 [B] to be embedded as a time is, f32 [B, width] as they are, or
 * f32 [B, projection_class_embeddings_input_dim] to be projected. They are added to the time embedding.
 */
export function classEmbedding(p: Params, config: ClassFields, time: TimeEncoding): ClassEmbedding {
  const embed = embedderOf(p, config, time)
  return (labels) => {
    if (embed && !labels) throw new ArgumentError('the network is conditioned on classes: give class labels')
    if (!embed && labels) throw new ArgumentError('class labels for a network without class_embed_type or num_class_embeds')
    return embed && labels && embed(labels)
  }
}

function embedderOf(p: Params, config: ClassFields, { encode, encoded, width, activation }: TimeEncoding): Layer | undefined {
  const inputs = config.projection_class_embeddings_input_dim as number
  switch (config.class_embed_type) {
    case 'identity':
      return (labels) => labels
    case 'timestep': {
      const embed = timeEmbedding(p, encoded, width, activation ? { activation } : {})
      return (labels) => embed(encode(labels))
    }
    case 'projection': {
      const embed = timeEmbedding(p, inputs, width)
      return (labels) => embed(labels)
    }
    case 'simple_projection':
      return linear(p, inputs, width)
    case null:
      return config.num_class_embeds === null ? undefined : embedding(p, config.num_class_embeds, width)
  }
}
