import type { Style } from './catalogue.ts'
import type { Draw } from './draw.ts'
import { isCounted, type Noun } from './nouns.ts'
import type { Background, Scene, SceneObject } from './scene.ts'

/** A cell of a 3 × 3 grid over the picture: column and row, from the top left. */
export interface ScenePosition {
  readonly x: 0 | 1 | 2
  readonly y: 0 | 1 | 2
}

/** Objects of one icon that stand together. */
export interface SceneGroup {
  readonly noun: Noun
  readonly count: number
  /** Where it is clearly the one or the other. */
  readonly size?: 'small' | 'large'
  /** Where a small object is that is alone in its picture. */
  readonly position?: ScenePosition
  /** @deprecated Read `position`, which is the same. */
  readonly place?: ScenePosition
}

/** A scene with the groups and the order that its captions describe. */
export interface ComposedScene extends Scene {
  /** Of all its objects. */
  readonly style: Style
  /** From left to right, or from top to bottom. `objects` are theirs, group by group. */
  readonly groups: readonly SceneGroup[]
  /** Along which the groups stand in their order; none where there is one. */
  readonly axis?: 'x' | 'y'
}

/** What is decided before the objects are laid out. */
export interface Cast {
  readonly nouns: readonly Noun[]
  readonly style: Style
  readonly background: Background
}

/** How many things a scene shows: a cast of one to three, or a single icon two to four times. */
export type Setting = 'single' | 'count' | 'two' | 'three'

/** An object's centre and side, as fractions of the picture. */
interface Spot {
  readonly x: number
  readonly y: number
  readonly size: number
}

type Range = readonly [least: number, most: number]

/** How wide objects are, as fractions of the picture. */
interface Widths {
  /** Alone. */
  readonly small: Range
  readonly medium: Range
  readonly large: Range
  /** Beside one that is as large, or smaller, or larger. */
  readonly alike: Range
  readonly smaller: Range
  readonly larger: Range
  /** Two of one beside another. */
  readonly twofold: Range
  /** Three in a row; or, where they are wider than a third, in two. */
  readonly three: Range
  /** Several of one, against the rows and columns that they stand in. */
  readonly several: Range
  /** In how many rows and columns several may stand, at most. */
  readonly most: number
}

/**
 * How large objects are: of all sizes, or `large`. At 64 pixels a side the smallest of the former are 16 pixels wide, which
 * few details survive, and of the latter 24.
 */
export const objectSizes = ['varied', 'large'] as const
export type ObjectSizes = (typeof objectSizes)[number]

const widths: Readonly<Record<ObjectSizes, Widths>> = {
  varied: {
    small: [0.3, 0.4],
    medium: [0.5, 0.75],
    large: [0.84, 0.98],
    alike: [0.4, 0.48],
    smaller: [0.26, 0.32],
    larger: [0.56, 0.64],
    twofold: [0.38, 0.46],
    three: [0.29, 0.33],
    several: [0.8, 0.95],
    most: 3,
  },
  large: {
    small: [0.36, 0.4],
    medium: [0.5, 0.75],
    large: [0.84, 0.98],
    alike: [0.46, 0.5],
    smaller: [0.36, 0.375],
    larger: [0.58, 0.625],
    twofold: [0.46, 0.5],
    three: [0.46, 0.5],
    several: [0.92, 1],
    most: 2,
  },
}

/** Objects are whole cells wide and stand at whole cells: the pixels of a latent, for instance. */
export interface SceneGrid {
  /** Cells a side. */
  readonly cells: number
  /** Sides in cells, drawn where one suits the scene. [5, 7, 10, 14] of 16 cells has one for every kind of object. */
  readonly sides?: readonly number[] | undefined
}

/** Gives a cast its counts, sizes and positions. Objects overlap at most by their transparent corners. */
export function layOut({ nouns, style, background }: Cast, setting: Setting, sizes: ObjectSizes, draw: Draw): ComposedScene {
  const width = widths[sizes]
  const [first] = nouns as [Noun]
  const shared = { style, background }
  if (setting === 'single') {
    const { group, spot } = single(first, width, draw)
    return { ...shared, groups: [group], objects: placedAt(first, style, [spot]) }
  }
  if (setting === 'count') {
    const spots = several(draw.of([2, 3, 4]), width, draw)
    return { ...shared, groups: [{ noun: first, count: spots.length }], objects: placedAt(first, style, spots) }
  }
  const axis = draw.of(['x', 'y'] as const)
  const rows = setting === 'two' ? two(nouns, width, draw) : three(nouns, width, draw)
  const turned = (spot: Spot): Spot => (axis === 'x' ? spot : { ...spot, x: spot.y, y: spot.x })
  return {
    ...shared,
    axis,
    groups: rows.map(({ group }) => group),
    objects: rows.flatMap(({ group, spots }) => placedAt(group.noun, style, spots.map(turned))),
  }
}

/**
 * The same scene on a grid of `cells` × `cells`: every object as many whole cells wide as fit in it, its corner at the nearest
 * cell's. Objects that lie side by side still do.
 */
export function onGrid(scene: ComposedScene, cells: number): ComposedScene {
  const snapped = (object: SceneObject): SceneObject => {
    // Rounding must not take a cell from a side that is a whole number of cells.
    const size = Math.max(1, Math.floor(object.size * cells + 1e-9)) / cells
    const centre = (at: number) => Math.min(1 - size, Math.max(0, Math.round((at - object.size / 2) * cells) / cells)) + size / 2
    return { ...object, size, x: centre(object.x), y: centre(object.y) }
  }
  return { ...scene, objects: scene.objects.map(snapped) }
}

const placedAt = ({ icon }: Noun, style: Style, spots: readonly Spot[]): SceneObject[] =>
  spots.map((spot) => ({ icon, style, ...spot }))

/** A centre drawn so that the whole object lies in the picture, near `x` where that is given. */
const within = (size: number, draw: Draw, near?: number, slack = 0): number => {
  const [least, most] = [size / 2, 1 - size / 2]
  return near === undefined ? draw.between(least, most) : Math.min(most, Math.max(least, near + draw.between(-slack, slack)))
}

function single(noun: Noun, width: Widths, draw: Draw): { group: SceneGroup; spot: Spot } {
  const kind = draw.weighted({ small: 3, medium: 4, large: 3 })
  if (kind === 'small') {
    const position = { x: draw.of([0, 1, 2] as const), y: draw.of([0, 1, 2] as const) }
    const size = draw.side(...width.small)
    const at = (third: number) => within(size, draw, [0.22, 0.5, 0.78][third], 0.05)
    return {
      group: { noun, count: 1, size: 'small', position },
      spot: { x: at(position.x), y: at(position.y), size },
    }
  }
  const size = draw.side(...width[kind])
  const spot = { x: within(size, draw), y: within(size, draw), size }
  return { group: kind === 'large' ? { noun, count: 1, size: 'large' } : { noun, count: 1 }, spot }
}

/** Two to four objects of like size: side by side, one below the other, or in two rows. */
function several(count: number, width: Widths, draw: Draw): Spot[] {
  const fitting = (shapes[count] as readonly (readonly [number, number])[]).filter((shape) => Math.max(...shape) <= width.most)
  const [across, down] = draw.of(fitting)
  const cell = 1 / Math.max(across, down)
  const [least, most] = width.several
  const size = draw.side(least * cell, most * cell)
  const spots: Spot[] = []
  for (let i = 0; i < count; i++) {
    const row = Math.floor(i / across)
    // The last row may be short: its objects stand in the middle.
    const inRow = Math.min(across, count - row * across)
    const x = 0.5 + ((i % across) - (inRow - 1) / 2) * cell
    const y = 0.5 + (row - (down - 1) / 2) * cell
    const slack = (cell - size) / 2
    spots.push({ x: within(size, draw, x, slack), y: within(size, draw, y, slack), size })
  }
  return spots
}
const shapes: Readonly<Record<number, readonly (readonly [number, number])[]>> = {
  2: [
    [2, 1],
    [1, 2],
  ],
  3: [
    [3, 1],
    [1, 3],
    [2, 2],
  ],
  4: [[2, 2]],
}

interface Row {
  readonly group: SceneGroup
  readonly spots: readonly Spot[]
}

/** Two groups side by side: of like size, one small and one large, or one of them twofold. */
function two([a, b]: readonly Noun[], width: Widths, draw: Draw): Row[] {
  const kind = draw.weighted({ alike: 5, sizes: 3, twofold: 2 })
  const pair = [a as Noun, b as Noun] as const
  if (kind === 'twofold') {
    const many = draw.of([0, 1])
    if (isCounted((pair[many] as Noun).words[0] as string)) return twofold(pair, many, width, draw)
  }
  const sides =
    kind === 'sizes' ? draw.of([['small', 'large'] as const, ['large', 'small'] as const]) : ([undefined, undefined] as const)
  const drawn = sides.map((side) => draw.side(...(side ? width[side === 'small' ? 'smaller' : 'larger'] : width.alike)))
  const free = 1 - (drawn[0] as number) - (drawn[1] as number)
  const before = draw.between(0, free)
  const between = draw.between(0, free - before)
  const starts = [before, before + (drawn[0] as number) + between]
  return pair.map((noun, i) => {
    const size = drawn[i] as number
    const side = sides[i]
    const spot = { x: (starts[i] as number) + size / 2, y: within(size, draw, 0.5, 0.14), size }
    return { group: side ? { noun, count: 1, size: side } : { noun, count: 1 }, spots: [spot] }
  })
}

/** Two of one on one side, one of the other on the other. */
function twofold(pair: readonly [Noun, Noun], many: number, width: Widths, draw: Draw): Row[] {
  return pair.map((noun, i) => {
    const size = draw.side(...width.twofold)
    const x = within(size, draw, i === 0 ? 0.25 : 0.75, (0.5 - size) / 2)
    const at = (y: number): Spot => ({ x, y: within(size, draw, y, (0.5 - size) / 2), size })
    return i === many
      ? { group: { noun, count: 2 }, spots: [at(0.25), at(0.75)] }
      : { group: { noun, count: 1 }, spots: [at(draw.between(0.35, 0.65))] }
  })
}

/** Three objects in a row, up and down a little; or, too wide for that, by turns in two rows. */
function three(nouns: readonly Noun[], width: Widths, draw: Draw): Row[] {
  const inTwoRows = width.three[0] > 1 / 3
  const first = inTwoRows ? draw.of([0, 1]) : 0
  return nouns.map((noun, i) => {
    const size = draw.side(...width.three)
    if (inTwoRows) {
      const y = (i + first) % 2 === 0 ? size / 2 : 1 - size / 2
      return { group: { noun, count: 1 }, spots: [{ x: (i + 1) / 4, y, size }] }
    }
    const x = within(size, draw, (i + 0.5) / 3, (1 / 3 - size) / 2)
    return { group: { noun, count: 1 }, spots: [{ x, y: within(size, draw, 0.5, 0.18), size }] }
  })
}
