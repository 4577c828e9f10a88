import type { StickerScene, Told } from '../../data/index.ts'
import type { Finding, FoundObject } from '../../pipelines/index.ts'

/** What a picture is asked about its caption. */
export const facts = ['object', 'count', 'ground', 'style', 'relation', 'place'] as const
export type Fact = (typeof facts)[number]

/** Questions asked, and how many of them were answered as the caption says. */
export interface Count {
  right: number
  asked: number
}
export type Tally = Record<Fact, Count>

export const emptyTally = (): Tally => Object.fromEntries(facts.map((fact) => [fact, { right: 0, asked: 0 }])) as unknown as Tally

/** A share with its 95 % interval. */
export interface Rate {
  readonly share: number
  readonly low: number
  readonly high: number
  readonly asked: number
}

/** A share of right answers, with Wilson's interval (Wilson 1927) at 95 %: all that can be where nothing was asked. */
export function rateOf({ right, asked }: Count): Rate {
  if (asked === 0) return { share: 0, low: 0, high: 1, asked }
  const z = 1.959964
  const share = right / asked
  const centre = (share + z ** 2 / (2 * asked)) / (1 + z ** 2 / asked)
  const half = (z / (1 + z ** 2 / asked)) * Math.sqrt((share * (1 - share)) / asked + z ** 2 / (4 * asked ** 2))
  return { share, low: Math.max(0, centre - half), high: Math.min(1, centre + half), asked }
}

/**
 * Adds to a tally what a picture makes true of its caption, asking only what the caption tells: whether each named object is
 * there; of those that it names twice or more, whether there are as many; the ground; the style; of objects whose order it tells,
 * whether each two stand so; of a small object, whether it stands in the right ninth.
 *
 * @param told all, unless given
 */
export function scoreScene(
  tally: Tally,
  { groups, ground, style, axis }: StickerScene,
  told: Told | undefined,
  found: Finding,
): void {
  const ask = (fact: Fact, right: boolean) => {
    tally[fact].asked++
    if (right) tally[fact].right++
  }
  const own = groups.map(({ noun }) => found.objects.filter(({ name }) => name === noun.icon.name))
  for (const [i, { count }] of groups.entries()) {
    const there = own[i] as readonly FoundObject[]
    ask('object', there.length > 0)
    if (count > 1) ask('count', there.length === count)
  }
  if (told?.ground ?? true) ask('ground', found.answers.ground === ground)
  if (told?.style ?? true) ask('style', found.answers.style === style)
  if (axis && (told?.relation ?? true))
    for (const [i, a] of own.entries())
      for (const b of own.slice(i + 1)) ask('relation', a.length > 0 && b.length > 0 && mean(a, axis) < mean(b, axis))
  const place = groups[0]?.place
  if (place && (told?.place ?? true)) {
    const [object] = own[0] as readonly FoundObject[]
    ask('place', object !== undefined && third(object.x) === place.x && third(object.y) === place.y)
  }
}

const mean = (objects: readonly FoundObject[], axis: 'x' | 'y') =>
  objects.reduce((sum, object) => sum + object[axis], 0) / objects.length
const third = (at: number) => (at < 0.36 ? 0 : at < 0.64 ? 1 : 2)
