/**
 * A key of DALLE-pytorch's checkpoint without the names of its wrappers, which differ from version to version and with the options:
 * `transformer.layers.layers.0.0.fn.fn.fn.to_qkv.weight` is `transformer.layers.layers.0.0.to_qkv.weight`.
 */
export const renameDalle = (key: string): string =>
  key
    .replace(/(\.fn)+(?=\.)/g, '')
    .replace(
      /^transformer\.layers\.blocks\.(\d+)\.([fg])\.net\./,
      (_, i, half) => `transformer.layers.layers.${i}.${half === 'f' ? 0 : 1}.`,
    )
    .replace(/^image_pos_emb\.weights\.(?=\d)/, 'image_pos_emb.weights_')

/** What a checkpoint holds beside the transformer's parameters: buffers, a shared head under other names, the autoencoder. */
export const isDalleBuffer = (key: string): boolean =>
  /^(transformer\.pos_emb|logits_mask|(text|image)_emb\.linear\..*|vae\..*)$/.test(key) || /\.(static_mask|mask)$/.test(key)
