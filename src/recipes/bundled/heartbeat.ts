import { recipeOf } from '../recipe.ts'
import { heartbeatType } from '../tasks/heartbeat.ts'

/** The paper's heartbeat: 20 bits, a 1 every 5th, 2,000 steps. */
export const heartbeat = recipeOf(heartbeatType, {
  summary: 'binomial diffusion of 20 bits, a 1 every 5th (Sohl-Dickstein et al. 2015)',
  config: {},
})
