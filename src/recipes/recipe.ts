import type { z } from 'zod'
import type { trainingSchema } from '../training/options.ts'
import type { TrainingJob } from '../training/run.ts'

/** Flags of a training run, those that are given. */
export type TrainingFlags = Partial<z.input<typeof trainingSchema>>

/** What a job must know of the run's flags. */
export interface JobContext {
  readonly batchSize: number
  readonly seed: number
}

/** A kind of model that can be trained: what a recipe says of one, and the job that it means. */
export interface RecipeKind<S extends z.ZodObject = z.ZodObject> {
  /** What `recipe` is in a recipe's file. */
  readonly name: string
  readonly summary: string
  readonly schema: S
  /** Flags that suit the kind, where neither the recipe nor the caller has others. */
  readonly training: TrainingFlags
  job(config: z.infer<S>, context: JobContext): Promise<TrainingJob>
}

/** A model as the numbers that make it: what `langevin train <name>` runs. */
export interface Recipe {
  readonly kind: string
  readonly summary: string
  /** By the kind's schema. */
  readonly config: Readonly<Record<string, unknown>>
  readonly training: TrainingFlags
  job(context: JobContext): Promise<TrainingJob>
}

interface RecipeParts<S extends z.ZodObject> {
  readonly summary: string
  readonly config: z.input<S> & Readonly<Record<string, unknown>>
  readonly training?: TrainingFlags
}

/** A recipe of a kind. */
export const recipeOf = <S extends z.ZodObject>(kind: RecipeKind<S>, { summary, config, training }: RecipeParts<S>): Recipe => ({
  kind: kind.name,
  summary,
  config,
  training: { ...kind.training, ...training },
  job: (context) => kind.job(kind.schema.parse(config), context),
})
