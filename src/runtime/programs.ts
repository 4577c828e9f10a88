import type { Program } from './program.ts'

/**
 * Programs made when first asked for, by key (such as a batch size), the last used kept. Each holds its own copy of the
 * weights, laid out for the engine: keep few.
 */
export class Programs<K> {
  private readonly make: (key: K) => Promise<Program>
  private readonly limit: number
  /** The last used at the end. */
  private readonly kept = new Map<K, Promise<Program>>()

  constructor(make: (key: K) => Promise<Program>, limit = 2) {
    this.make = make
    this.limit = limit
  }

  /**
   * The program of a key, made once however many ask for it at a time. Making one frees the least used beyond the limit
   * first, after its run in progress.
   */
  get(key: K): Promise<Program> {
    const known = this.kept.get(key)
    const program = known ?? this.replace(key)
    this.kept.delete(key)
    this.kept.set(key, program)
    if (!known) program.catch(() => this.kept.get(key) === program && this.kept.delete(key))
    return program
  }

  /** Frees all of them; a later `get` makes them anew. */
  async release(): Promise<void> {
    await this.free([...this.kept.keys()])
  }

  private async replace(key: K): Promise<Program> {
    await this.free([...this.kept.keys()].slice(0, Math.max(0, this.kept.size - this.limit + 1)))
    return this.make(key)
  }

  private async free(keys: readonly K[]): Promise<void> {
    const programs = keys.map((key) => this.kept.get(key))
    for (const key of keys) this.kept.delete(key)
    // Whoever asked for one that could not be made was told.
    for (const program of programs)
      await program?.then(
        (made) => made.release(),
        () => undefined,
      )
  }
}
