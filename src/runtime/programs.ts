import type { Program } from './program.ts'

/**
 * Programs made when first asked for, by key (such as a batch size), the last used kept. Each holds its own copy of the
 * weights, laid out for the engine: keep few.
 */
export class Programs<K> {
  private readonly make: (key: K) => Promise<Program>
  private readonly limit: number
  private readonly kept = new Map<K, Promise<Program>>()

  constructor(make: (key: K) => Promise<Program>, limit = 2) {
    this.make = make
    this.limit = limit
  }

  /** The program of a key, which becomes the last used. */
  async get(key: K): Promise<Program> {
    const program = this.kept.get(key) ?? this.make(key)
    this.kept.delete(key)
    this.kept.set(key, program)
    for (const [old, unused] of [...this.kept].slice(0, -this.limit)) {
      this.kept.delete(old)
      await (await unused).release()
    }
    try {
      return await program
    } catch (error) {
      this.kept.delete(key)
      throw error
    }
  }

  /** Frees all of them; a later `get` makes them anew. */
  async release(): Promise<void> {
    const all = [...this.kept.values()]
    this.kept.clear()
    for (const program of all) await (await program).release()
  }
}
