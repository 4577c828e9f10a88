import type { Layer } from './layers.ts'

/** The activations that checkpoints name in their configs, under diffusers' names. */
export const activations = {
  silu: (x) => x.silu(),
  swish: (x) => x.silu(),
  gelu: (x) => x.gelu(),
  /** By tanh: diffusers' `gelu-approximate`, transformers' `gelu_new` and `gelu_pytorch_tanh`. */
  gelu_tanh: (x) => x.gelu('tanh'),
  relu: (x) => x.relu(),
  /** x·tanh(softplus x) (Misra 2019). */
  mish: (x) => x.mul(x.softplus().tanh()),
} satisfies Record<string, Layer>

export type Activation = keyof typeof activations
