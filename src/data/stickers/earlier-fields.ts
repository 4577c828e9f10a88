/** The same object, which also answers to earlier names of its fields. Copies by `{ ...object }` have only today's names. */
export function withEarlierNames<T extends object>(object: T, earlier: Partial<T>): T {
  for (const [name, value] of Object.entries(earlier)) Object.defineProperty(object, name, { value })
  return object
}
