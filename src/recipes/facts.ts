/** In a published folder: the facts of the run, but for the recipe, which stands beside it. */
export const factsFile = 'training.json'
