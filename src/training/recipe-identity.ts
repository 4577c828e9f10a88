import { inWords } from '../core/system-error.ts'
import { TrainingError } from './errors.ts'
import { readHistory } from './history.ts'
import { differences } from './identity.ts'
import type { RunIdentity } from './open-run.ts'
import { type TrainingConfig, trainingSchema } from './options.ts'

type Recipe = Readonly<Record<string, unknown>>

/** Flags that decide the numbers, of checkpoints that keep only some of them; and the one that no checkpoint keeps but in its recipe. */
const KEPT = ['optimizer', 'adam_beta1', 'adam_beta2', 'adam_epsilon', 'adam_weight_decay', 'max_grad_norm'] as const
const BATCH = 'train_batch_size'

/**
 * The recipe as a part of a run's identity: all of it but the flags that may change from one start to the next.
 *
 * @param complete fills in what a recipe leaves out, so that two spellings of one recipe are the same
 */
export function recipeIdentity(
  dir: string,
  recipe: Recipe,
  complete: (recipe: Recipe) => Recipe = (given) => given,
): RunIdentity {
  const settingsOf = ({ training: _, ...settings }: Recipe): Recipe => JSON.parse(JSON.stringify(complete(settings)))
  const flagsOf = ({ training }: Recipe, names: readonly (keyof TrainingConfig)[]): Recipe => {
    const flags = trainingSchema.parse(training ?? {})
    return Object.fromEntries(names.map((name) => [name, flags[name]]))
  }
  return {
    fields: { recipe },
    differences({ run, step }) {
      // Checkpoints of earlier versions kept no recipe; their folder has it.
      const saved = (run.recipe ?? readHistory(dir).at(-1)?.recipe) as Recipe | undefined
      if (saved === undefined) return []
      const names = run.optimizer === undefined ? [BATCH, ...KEPT] : [BATCH]
      try {
        return [
          ...differences(settingsOf(saved), settingsOf(recipe), { complete: true }),
          ...differences(flagsOf(saved, names as (keyof TrainingConfig)[]), flagsOf(recipe, names as (keyof TrainingConfig)[])),
        ]
      } catch (cause) {
        throw new TrainingError(`${dir}/checkpoint-${step}: its recipe cannot be read: ${inWords(cause)}`, { cause })
      }
    },
  }
}
