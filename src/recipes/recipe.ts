import type { z } from 'zod'
import type { trainingSchema } from '../training/options.ts'
import type { TrainingJob } from '../training/run.ts'

/** Flags of a training run, those that are given. */
export type TrainingFlags = Partial<z.input<typeof trainingSchema>>

/** What a job must know of the run's flags. */
export interface JobContext {
  readonly batchSize: number
  readonly seed: number
  /** Grids of samples: how many pictures, in how many steps. */
  readonly preview?: PreviewOptions
  /** How many pictures of a folder have been checked. */
  readonly onProgress?: (done: number, total: number) => void
  readonly warn?: (message: string) => void
}

/** Of a grid of samples, what the run's flags say. */
export interface PreviewOptions {
  readonly num?: number | undefined
  readonly steps?: number | undefined
}

/** A type of recipe: the fields that its recipes have, and the training job that they mean. */
export interface RecipeType<S extends z.ZodObject = z.ZodObject> {
  /** What `recipe` is in a recipe's file. */
  readonly name: string
  readonly summary: string
  readonly schema: S
  /** Flags that suit the type, where neither the recipe nor the caller has others. */
  readonly training: TrainingFlags
  job(config: z.infer<S>, context: JobContext): Promise<TrainingJob>
}

/** A model as the numbers that make it: what `langevin train <name>` runs. */
export interface Recipe {
  /** The name of its type. */
  readonly type: string
  /** The same, under its earlier name. */
  readonly kind: string
  readonly summary: string
  /** By the type's schema. */
  readonly config: Readonly<Record<string, unknown>>
  readonly training: TrainingFlags
  job(context: JobContext): Promise<TrainingJob>
}

interface RecipeParts<S extends z.ZodObject> {
  readonly summary: string
  readonly config: z.input<S> & Readonly<Record<string, unknown>>
  readonly training?: TrainingFlags
}

/** A recipe of a type. */
export const recipeOf = <S extends z.ZodObject>(type: RecipeType<S>, { summary, config, training }: RecipeParts<S>): Recipe => ({
  type: type.name,
  kind: type.name,
  summary,
  config,
  training: { ...type.training, ...training },
  job: (context) => type.job(type.schema.parse(config), context),
})
