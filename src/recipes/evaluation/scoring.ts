import { backgroundOf, type ComposedScene, type Described } from '../../data/index.ts'
import type { Finding, FoundObject } from '../../pipelines/index.ts'
import { Generator } from '../../runtime/random.ts'
import { bootstrapRates, type Count, type Rate } from './bootstrap.ts'

/** What a picture is asked about its caption. */
export const facts = ['exact', 'object', 'precision', 'count', 'background', 'style', 'relation', 'position'] as const
export type Fact = (typeof facts)[number]

/** Questions about one picture, or about several. */
export type Tally = Readonly<Record<Fact, Count>>

/** The shares of right answers. */
export type Rates = Readonly<Record<Fact, Rate>>

/**
 * What a picture makes true of its caption. It is asked only what the caption says:
 *
 * - object (recall): whether each named object is there;
 * - precision: whether each object that is there was named, and no more of it than named;
 * - count: of what is named twice or more, whether there are as many;
 * - background, style;
 * - relation: of objects whose order the caption tells, whether each two stand so;
 * - position: of a small object, whether it stands in the right ninth;
 * - exact: whether all of that is right, every object as often as named, and nothing else there.
 *
 * @param described what the caption says; all, unless given
 */
export function scoreScene(scene: ComposedScene, described: Described | undefined, found: Finding): Tally {
  const { groups, axis } = scene
  const own = groups.map(({ noun }) => found.objects.filter(({ name }) => name === noun.icon.name))
  const inOrder = (a: readonly FoundObject[], b: readonly FoundObject[]) =>
    a.length > 0 && b.length > 0 && mean(a, axis as 'x' | 'y') < mean(b, axis as 'x' | 'y')
  const position = groups[0]?.position ?? groups[0]?.place
  const stands = ([object]: readonly FoundObject[]) =>
    object !== undefined && third(object.x) === position?.x && third(object.y) === position.y
  const answers: Record<Exclude<Fact, 'exact' | 'precision'>, readonly boolean[]> = {
    object: own.map((objects) => objects.length > 0),
    count: groups.flatMap(({ count }, i) => (count > 1 ? [own[i]?.length === count] : [])),
    background: (described?.background ?? described?.ground ?? true) ? [found.answers.ground === backgroundOf(scene)] : [],
    style: (described?.style ?? true) ? [found.answers.style === scene.style] : [],
    relation: axis && (described?.relation ?? true) ? own.flatMap((a, i) => own.slice(i + 1).map((b) => inOrder(a, b))) : [],
    position: position && (described?.position ?? described?.place ?? true) ? [stands(own[0] as readonly FoundObject[])] : [],
  }
  const named = groups.reduce((sum, { count }, i) => sum + Math.min(count, own[i]?.length as number), 0)
  const asMany = groups.every(({ count }, i) => own[i]?.length === count) && found.objects.length === named
  const exact = asMany && Object.values(answers).flat().every(Boolean)
  const counted = Object.entries(answers).map(([fact, all]) => [fact, { right: all.filter(Boolean).length, asked: all.length }])
  return {
    ...(Object.fromEntries(counted) as Record<keyof typeof answers, Count>),
    precision: { right: named, asked: found.objects.length },
    exact: { right: Number(exact), asked: 1 },
  }
}

const mean = (objects: readonly FoundObject[], axis: 'x' | 'y') =>
  objects.reduce((sum, object) => sum + object[axis], 0) / objects.length
const third = (at: number) => (at < 0.36 ? 0 : at < 0.64 ? 1 : 2)

/** Tallies as one. */
export const addTallies = (tallies: readonly Tally[]): Tally =>
  Object.fromEntries(
    facts.map((fact) => {
      const sum = (key: keyof Count) => tallies.reduce((total, tally) => total + tally[fact][key], 0)
      return [fact, { right: sum('right'), asked: sum('asked') }]
    }),
  ) as Record<Fact, Count>

/**
 * The shares of right answers over pictures, with 95 % intervals by bootstrap over the pictures.
 *
 * @param groupOf where pictures belong together, what each belongs to: the bootstrap is then over these
 */
export function ratesOf(tallies: readonly Tally[], groupOf?: (picture: number) => string): Rates {
  const units = groupOf
    ? [...Map.groupBy(tallies.entries(), ([i]) => groupOf(i)).values()].map((own) => addTallies(own.map(([, tally]) => tally)))
    : tallies
  return bootstrapRates(facts, units, new Generator(0))
}
