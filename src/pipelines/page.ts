import type { z } from 'zod'
import type { NdArray } from '../runtime/ndarray.ts'
import type { CompileOptions } from '../runtime/program.ts'
import type { PartsOf, PartTable } from './open/parts.ts'
import type { ModelSource, OpenOptions } from './open/source.ts'
import type { StepCache } from './parts/step-cache.ts'

/** What a pipeline makes. */
export type Output = 'pictures' | 'frames' | 'text'

export type Result =
  /** f32 [num, C, H, W], nominally in [−1, 1]. */
  | {
      readonly type: 'pictures'
      readonly pictures: NdArray<'f32'>
      /** What later stages of a cascade may be conditioned on, by the names of their options. */
      readonly conditions?: Readonly<Record<string, NdArray>>
    }
  /** f32 [num, T, C, H, W], nominally in [−1, 1], and how many of them are a second. */
  | { readonly type: 'frames'; readonly frames: NdArray<'f32'>; readonly rate: number }
  | { readonly type: 'text'; readonly texts: readonly string[] }
  /** What another page goes on from: latents of a cascade's stage, embeddings of a prior, those by the names that diffusers has for them. */
  | {
      readonly type: 'latents'
      readonly latents: NdArray<'f32'>
      readonly named?: Readonly<Record<string, NdArray<'f32'>>>
    }

/** A step of a run, and how far all of the run is. */
export interface Progress {
  /** Which of the run's pictures (films, texts), from 0; and which of its steps. */
  readonly picture: number
  readonly i: number
  /** Of a cascade: which of its stages, from 0; each counts its own calls. */
  readonly stage?: number
  /** Calls of the network so far, of so many. */
  readonly done: number
  readonly total: number
  /** The state that the run would end with if it ended here, as the network knows it. */
  readonly latents: NdArray
  /** That state as what the pipeline makes. Costs a run of the decoder. */
  preview(): Promise<Result>
  /** The same in outline, small and at little cost, where the pipeline can. */
  sketch?(): Promise<Result>
}

/** A run: its steps, then what it made. `for await` gives progress; `return()` or a signal ends it. */
export type Generation = AsyncGenerator<Progress, Result, void>

/** What a run would do, before it does it. */
export interface Plan {
  /** diffusers' class whose defaults hold. */
  readonly className: string
  /** In the words in which a picture's metadata say it: Steps, Sampler, CFG scale, Size. */
  readonly settings: Readonly<Record<string, string | number | undefined>>
  /** How many pictures the run makes, where they are more than `num`. */
  readonly pictures?: number
  /** Whether pictures of one run share what the first one's generator draws: then picture k is not what `seed + k` gives alone. */
  readonly together?: boolean
  /** What each picture is made of, where a prompt's choices differ from picture to picture. */
  readonly prompts?: readonly { readonly prompt: string; readonly negative: string | undefined }[]
  /** What is worth saying before the run, as options of a scheduler's config that nothing reads. */
  readonly warnings?: readonly string[]
}

/** How a model is opened, whatever its family. A page refuses what it has no use for. */
export interface LoadOptions extends OpenOptions, CompileOptions {
  /** Keeps one network in memory at a time, its weights left in their file: slower, and much less memory. */
  readonly lowMemory?: boolean
  /** Whether networks stay in memory for the next run (unless false): else each is freed once its work in a run is done. */
  readonly keep?: boolean
  /** The prior of a decoder that has none of its own, which makes pictures' embeddings of prompts: its folder, or its name on the hub. */
  readonly prior?: string | undefined
  /** Codes pictures larger than those of training in tiles. */
  readonly tiling?: boolean
  /**
   * The denoiser in few bits, on the CPU. `int8`: integers, faster; the first run on a checkpoint calibrates it by a short float
   * run, whose ranges are kept. `int4`: the least memory for weights, slower.
   */
  readonly quantize?: 'int8' | 'int4' | undefined
  /** Steps take over deep features from earlier ones: faster, and another picture. */
  readonly cache?: StepCache | undefined
}

/** What a page knows of the model beside its parts. */
export interface Opened<L extends LoadOptions = LoadOptions> {
  readonly source: ModelSource
  readonly load: L
  /** How every network of this model is compiled. */
  readonly compile: CompileOptions
  /** Frees what has done its work in a run, unless it is kept. */
  done(part: Releasable): Promise<void>
}

export interface Releasable {
  release(): Promise<void>
}

/** The settings of a run: a page's options with their defaults, and the signal that stops it between two calls of a network. */
export type Settings<S extends z.ZodObject> = z.output<S> & { readonly signal?: AbortSignal | undefined }

/**
 * One pipeline of diffusers, or several that share their parts: which classes it opens, what it takes, and how it makes its
 * output. The model `M` is made once of the parts; it holds the networks at work.
 */
export interface PageSpec<T extends PartTable, S extends z.ZodObject, M extends Releasable, L extends LoadOptions> {
  /** diffusers' pipeline classes, as `model_index.json` names them. */
  readonly classes: readonly string[]
  readonly output: Output
  readonly parts: T
  /** What a run takes: types, flags, HTTP validation and form come from it. */
  readonly options: S
  /** Options of loading that this page takes beside those that all do (variant, hub, device, threads, keep, lowMemory). */
  readonly loads?: readonly (keyof L & string)[]
  open(parts: PartsOf<T>, opened: Opened<L>): M | Promise<M>
  /** @throws ArgumentError for settings that contradict each other or the model */
  plan(model: M, settings: Settings<S>): Plan
  generate(model: M, settings: Settings<S>): Generation
}

/** A page whose types are its own affair. */
export type Page = PageSpec<PartTable, z.ZodObject, Releasable, LoadOptions>

/** Ties a page's parts, options and model together, and hides their types. */
export const page = <T extends PartTable, S extends z.ZodObject, M extends Releasable, L extends LoadOptions = LoadOptions>(
  spec: PageSpec<T, S, M, L>,
): Page => spec as unknown as Page
