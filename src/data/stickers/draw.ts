import type { Generator } from '../../runtime/random.ts'

/** Choices from a generator. */
export class Draw {
  private readonly generator: Generator
  private readonly sides: readonly number[]
  /** `sides` are those that objects may have; any if there are none. */
  constructor(generator: Generator, sides: readonly number[] = []) {
    this.generator = generator
    this.sides = sides
  }
  /** In [0, 1). */
  uniform(): number {
    return this.generator.bits() / 2 ** 32
  }
  between(least: number, most: number): number {
    return least + (most - least) * this.uniform()
  }
  /** An object's side between two: one of those listed where one lies there. */
  side(least: number, most: number): number {
    const listed = this.sides.filter((side) => least <= side && side <= most)
    return listed.length > 0 ? this.of(listed) : this.between(least, most)
  }
  chance(share: number): boolean {
    return this.uniform() < share
  }
  of<T>(list: readonly T[]): T {
    return list[Math.floor(this.uniform() * list.length)] as T
  }
  /** A key, by the weights of all. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries(weights) as [K, number][]
    let left = this.uniform() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [key, weight] of entries) {
      left -= weight
      if (left < 0) return key
    }
    return (entries.at(-1) as [K, number])[0]
  }
}
