import type { HubOptions } from '../../checkpoints/index.ts'
import type { Json } from '../../checkpoints/json.ts'
import type { SchedulerConfig } from '../../diffusion/index.ts'
import type { ClassName } from './classes.ts'
import type { Stored } from './network.ts'

export interface OpenOptions {
  /** As `fp16`: which of a folder's weights. */
  readonly variant?: string | undefined
  /**
   * For single files, which hold no vocabulary: a folder with the tokenizer's files, or with `tokenizer/` (and `tokenizer_2/`), as
   * any diffusers folder of the family has them. By default the folder that the file is in.
   */
  readonly tokenizer?: string | undefined
  /** Another autoencoder than the checkpoint's: its folder, its file, or its name on the hub. */
  readonly vae?: string | undefined
  /** The folder of a classifier that guides a language model, in place of the one beside it. */
  readonly classifier?: string | undefined
  /** For single files of Stable Diffusion 2, which do not say what they predict. */
  readonly prediction?: 'epsilon' | 'v_prediction' | undefined
  readonly hub?: HubOptions
}

/** A model's components, wherever they lie: nothing of a component is read before it is asked for. */
export interface ModelSource {
  /** What errors and pictures call the model. */
  readonly place: string
  /** diffusers' pipeline class. */
  readonly className: string
  /** `model_index.json` beside the components, as `force_zeros_for_empty_prompt`. */
  readonly fields: Readonly<Json>
  /** Fields of an autoencoder's config that its file alone does not tell, where the model knows them. */
  readonly autoencoder?: Readonly<Record<string, unknown>>
  has(component: string): boolean
  /** @throws ConfigError where the component is missing or none of these classes */
  network<N extends ClassName>(component: string, classes: readonly N[]): Stored<N>
  /** Held against its class at once. @throws SchedulerConfigError */
  scheduler(component: string): SchedulerConfig
  /** The folder of a tokenizer's files. */
  tokenizer(component: string, classes: readonly string[]): string
  /** Where files stand that no network needs, as `feature_extractor/`: a folder that may not be there. */
  beside(component: string): string
}
