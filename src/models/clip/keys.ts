/** Buffers that older checkpoints hold and no network asks for. */
export const isClipBuffer = (key: string): boolean => key.endsWith('embeddings.position_ids')

const halfOf = (prefix: string) => (key: string) =>
  /^(embeddings|encoder|final_layer_norm|pre_layrnorm|post_layernorm)\./.test(key) ? `${prefix}.${key}` : key

/** A text model's key as published checkpoints have it: `CLIPTextModel` saved by transformers 5 leaves `text_model.` out. */
export const renameClipText = halfOf('text_model')

/** A vision model's key as published checkpoints have it. */
export const renameClipVision = halfOf('vision_model')
