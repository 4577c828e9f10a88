import { hashOf } from '../hash.ts'
import type { Draw } from './draw.ts'
import { withEarlierNames } from './earlier-fields.ts'
import type { ComposedScene, SceneGroup } from './layout.ts'
import { withArticle } from './names.ts'
import { pluralOf } from './nouns.ts'
import { backgroundOf } from './scene.ts'

/** What a caption says of its scene beyond the objects, which it always names, each with its count. */
export interface Described {
  readonly background: boolean
  readonly style: boolean
  /** Which object is left of, or above, which. */
  readonly relation: boolean
  /** Whether an object is small or large; one entry an object. */
  readonly sizes: readonly boolean[]
  /** Where in the picture a single object is. */
  readonly position: boolean
  /** @deprecated Read `background`. */
  readonly ground?: boolean
  /** @deprecated Read `position`. */
  readonly place?: boolean
}

export interface SceneCaption {
  readonly text: string
  readonly described: Described
  /** @deprecated Read `described`, which is the same. */
  readonly told: Described
  /** The caption with placeholders for its words: `{a} left of {b}, on {ground}`. The split by phrasing hashes this text. */
  readonly phrasing: string
}

/** What a caption describes, or the `told` that a caller sets by that earlier name. */
export const describedBy = ({ described, told }: Pick<SceneCaption, 'described' | 'told'>): Described => told ?? described

/** One phrasing in ten is left for testing: its parts are known from other phrasings, their combination is not. */
export const isHeldOutPhrasing = (phrasing: string): boolean => hashOf(`phrasing ${phrasing}`) % 10 === 0

interface Clause {
  readonly text: string
  readonly tells?: boolean
}
const tells = (...texts: string[]): Clause[] => texts.map((text) => ({ text, tells: true }))
const silent = (...texts: string[]): Clause[] => texts.map((text) => ({ text }))

/** Ways to name objects {a}, {b}, {c}, which stand in this order along an axis. */
const subjects: Readonly<Record<string, readonly Clause[]>> = {
  '1': silent('{a}'),
  '2x': [
    ...tells('{a} left of {b}', '{a} to the left of {b}', '{b} right of {a}', '{b} to the right of {a}'),
    ...tells('{a} on the left and {b} on the right', '{b} on the right and {a} on the left'),
    ...silent('{a} and {b}', '{b} and {a}', '{a} next to {b}', '{b} beside {a}'),
  ],
  '2y': [
    ...tells('{a} above {b}', '{b} below {a}', '{b} under {a}', '{a} over {b}'),
    ...tells('{a} at the top and {b} at the bottom', '{b} at the bottom and {a} at the top'),
    ...silent('{a} and {b}', '{b} and {a}'),
  ],
  '3x': [
    ...tells('{a}, {b} and {c} from left to right', 'from left to right {a}, {b} and {c}'),
    ...silent('{a}, {b} and {c}', '{b}, {a} and {c}', '{c}, {a} and {b}', '{b} between {c} and {a}', '{b} between {a} and {c}'),
  ],
  '3y': [
    ...tells('{a}, {b} and {c} from top to bottom', 'from top to bottom {a}, {b} and {c}'),
    ...silent('{a}, {b} and {c}', '{c}, {b} and {a}', '{b}, {c} and {a}'),
  ],
}

const backgrounds = ['on a {ground} background', 'on {ground}', 'against a {ground} background', 'with a {ground} background']
const stylings = ['{style} style', 'in {style} style', 'in the {style} style', 'a {style} sticker of', 'a {style} picture of']

const sizeWords = { small: ['small', 'little', 'tiny'], large: ['large', 'big', 'huge'] } as const
const numbers = ['', '', 'two', 'three', 'four'] as const

/** A sentence that is true of a scene, in one of many phrasings. */
export function captionOf(scene: ComposedScene, draw: Draw, { heldOut = false } = {}): SceneCaption {
  for (;;) {
    const { phrasing, described } = phrasingOf(scene, draw)
    if (isHeldOutPhrasing(phrasing) === heldOut) {
      const caption: Omit<SceneCaption, 'told'> = { text: filled(phrasing, scene, described, draw), described, phrasing }
      return withEarlierNames(caption as SceneCaption, { told: described })
    }
  }
}

function phrasingOf({ groups, axis }: ComposedScene, draw: Draw): Pick<SceneCaption, 'phrasing' | 'described'> {
  const subject = draw.of(subjects[groups.length + (axis ?? '')] as readonly Clause[])
  const sizes = groups.map(({ size }) => size !== undefined && draw.chance(0.7))
  const position = groups[0]?.position !== undefined && draw.chance(0.7)
  const background = draw.chance(0.9)
  const style = draw.chance(0.6) ? draw.of(stylings) : ''
  const named = subject.text.replace(/\{([abc])\}/g, (slot, letter) => (sizes['abc'.indexOf(letter)] ? `{size ${letter}}` : slot))
  const where = position ? ' {place}' : ''
  const on = background ? ` ${draw.of(backgrounds)}` : ''
  const phrasing = style.endsWith(' of')
    ? `${style} ${named}${where}${on}`
    : style === ''
      ? `${named}${where}${on}`
      : `${named}${where}${on}${style.startsWith('in') && draw.chance(0.5) ? ' ' : ', '}${style}`
  const described = { background, style: style !== '', relation: subject.tells === true, sizes, position }
  return { phrasing, described: withEarlierNames<Described>(described, { ground: background, place: position }) }
}

function filled(phrasing: string, scene: ComposedScene, described: Described, draw: Draw): string {
  const position = scene.groups[0]?.position
  const words = scene.groups.map((group, i) => named(group, described.sizes[i] === true, draw))
  return phrasing
    .replace(/\{(?:size )?([abc])\}/g, (_, letter) => words['abc'.indexOf(letter)] as string)
    .replace('a {ground}', withArticle(backgroundOf(scene)))
    .replace('{ground}', backgroundOf(scene))
    .replace('{style}', scene.style)
    .replace('{place}', position ? draw.of(positionWords(position)) : '')
}

/** `a small apple`, `three apples`. */
function named({ noun, count, size }: SceneGroup, sized: boolean, draw: Draw): string {
  const word = draw.of(noun.words)
  const adjective = sized && size ? `${draw.of(sizeWords[size])} ` : ''
  if (count > 1) return `${numbers[count]} ${adjective}${pluralOf(word)}`
  return adjective && withArticle(word) !== word ? `a ${adjective}${word}` : adjective + withArticle(word)
}

function positionWords({ x, y }: { readonly x: number; readonly y: number }): readonly string[] {
  const across = ['left', 'middle', 'right'][x] as string
  const down = ['top', 'middle', 'bottom'][y] as string
  if (x === 1 && y === 1) return ['in the middle', 'in the center']
  if (x === 1) return [`at the ${down}`]
  if (y === 1) return [`on the ${across}`]
  return [`in the ${down} ${across} corner`, `at the ${down} ${across}`]
}
