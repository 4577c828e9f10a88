/** Films of a split that are measured, at most. */
export const MOST_FILMS = 100
/** No training draws its films by this seed. */
export const SEED = 97
