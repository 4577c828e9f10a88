import { recipeOf } from '../recipe.ts'
import { swissRollType } from '../tasks/swiss-roll.ts'

/** The swiss roll of the paper's first figure: 40 steps, 16 hidden units. */
export const swissRoll = recipeOf(swissRollType, {
  summary: 'Gaussian diffusion of a swiss roll (Sohl-Dickstein et al. 2015)',
  config: {},
})
