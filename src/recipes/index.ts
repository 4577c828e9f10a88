export { recipes } from './bundled/index.ts'
export { type ClassifierEvaluation, type DdpmEvaluation, evaluateClassifier, evaluateDdpm } from './evaluation/evaluate.ts'
export { fitGaussian, frechetDistance, frechetTo, type GaussianFit } from './evaluation/frechet.ts'
export { type EvaluateContext, type EvaluateOptions, evaluateOptions } from './evaluation/options.ts'
export {
  type ClassifierQuality,
  type Distance,
  measureClassifier,
  measurePictures,
  type Nearest,
  nearestRows,
  type PictureQuality,
  type SetQuality,
} from './evaluation/quality.ts'
export { openRecipe, parseRecipe, prepare, type RecipeJson, recipeJson } from './open.ts'
export {
  type JobContext,
  type Recipe,
  type RecipeType,
  /** The same, under its earlier name. */
  type RecipeType as RecipeKind,
  recipeOf,
  type TrainingFlags,
} from './recipe.ts'
export {
  /** The same, under its earlier name. */
  recipeTypes as kinds,
  recipeTypes,
} from './tasks/index.ts'
