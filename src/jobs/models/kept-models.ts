/** What frees an opened model's memory. */
export interface Opened {
  release(): Promise<void>
}

/** Opened models, the last used last. The oldest go when the process takes more memory than it may. */
export class KeptModels<T extends Opened> {
  readonly #models = new Map<string, T>()
  readonly #budget: number
  readonly #used: () => number

  /** @param budget bytes; @param used bytes that the process takes */
  constructor(budget: number, used: () => number = () => process.memoryUsage.rss()) {
    this.#budget = budget
    this.#used = used
  }

  get names(): string[] {
    return [...this.#models.keys()]
  }

  get used(): number {
    return this.#used()
  }

  /** The model of this name; opened where it is not, after those that memory has no room for are let go. */
  async get(name: string, open: () => Promise<T>): Promise<T> {
    const known = this.#models.get(name)
    if (known) {
      this.#models.delete(name)
      this.#models.set(name, known)
      return known
    }
    await this.trim()
    const opened = await open()
    this.#models.set(name, opened)
    return opened
  }

  /** Lets the oldest go while too much memory is taken; the last used stays. */
  async trim(): Promise<void> {
    while (this.#models.size > 1 && this.#used() > this.#budget) await this.#release(this.names[0] as string)
  }

  async clear(): Promise<void> {
    for (const name of this.names) await this.#release(name)
  }

  async #release(name: string): Promise<void> {
    const model = this.#models.get(name)
    this.#models.delete(name)
    await model?.release()
  }
}
