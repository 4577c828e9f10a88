/** `count` positions of a dataset, from one on. */
export const positionsFrom = (start: number, count: number): number[] => Array.from({ length: count }, (_, i) => start + i)
