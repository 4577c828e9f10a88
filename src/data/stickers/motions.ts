import { hashOf } from '../hash.ts'
import type { Draw } from './draw.ts'
import { withArticle } from './names.ts'
import type { Noun } from './nouns.ts'

/** How an object moves, each with what may be told of it. */
export const motionKinds = ['still', 'move', 'bounce', 'appear', 'grow', 'shrink', 'cross'] as const
export type MotionKind = (typeof motionKinds)[number]
export const directions = ['left', 'right', 'up', 'down'] as const
export type Direction = (typeof directions)[number]
export type Speed = 'slowly' | 'fast'

/** The motion of a scene: of one object, or of two that cross. */
export interface Motion {
  readonly kind: MotionKind
  /** Of `move` where to; of `bounce` and `cross` the first object's first way. */
  readonly direction?: Direction
  /** Of `move` and `bounce`. */
  readonly speed?: Speed
}

/** A motion in a word or more, as `move left fast`: what is held out goes by it. */
export const motionName = ({ kind, direction, speed }: Motion): string => [kind, direction, speed].filter(Boolean).join(' ')

/** Motions that `train` never shows. */
export const heldOutMotions: readonly string[] = ['move up fast', 'bounce left slowly']
export const isHeldOutMotion = (motion: Motion): boolean => heldOutMotions.includes(motionName(motion))

/** One pair in eight of a thing and a motion is never in `train`. */
export const isHeldOutMotionOf = (noun: string, motion: Motion): boolean =>
  motion.kind !== 'still' && hashOf(`${noun} can ${motionName(motion)}`) % 8 === 0

/** A motion, kinds by their weights. */
export function drawMotion(draw: Draw): Motion {
  const kind = draw.weighted({ still: 1, move: 6, bounce: 3, appear: 2, grow: 2, shrink: 1, cross: 3 })
  if (kind === 'move') return { kind, direction: draw.of(directions), speed: draw.of(['slowly', 'fast'] as const) }
  if (kind === 'bounce') return { kind, direction: draw.of(directions), speed: draw.of(['slowly', 'fast'] as const) }
  if (kind === 'cross') return { kind, direction: draw.of(['left', 'right'] as const) }
  return { kind }
}

/** Sides of the picture a second. */
export const speeds: Readonly<Record<Speed, number>> = { slowly: 0.14, fast: 0.36 }

/** Where an object is, how large, and whether it is there: centre and side as shares of the picture's. */
export interface Pose {
  readonly x: number
  readonly y: number
  readonly size: number
}

/** A path: seconds from the start of a film to the object's pose, or undefined while it is not there. */
export type Path = (seconds: number) => Pose | undefined

const signs: Readonly<Record<Direction, readonly [number, number]>> = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] }
export const opposite: Readonly<Record<Direction, Direction>> = { left: 'right', right: 'left', up: 'down', down: 'up' }

/** A triangle wave: from 0 on to 1 and back, 2 a period. */
const folded = (t: number): number => {
  const within = ((t % 2) + 2) % 2
  return within > 1 ? 2 - within : within
}

/**
 * The paths of a motion's objects over so many seconds, in a picture of `width` × `height` shares (1 is the longer side): an object stays
 * in it. What moves starts so far from the edge that it reaches the other by the end, if its speed lets it.
 */
export function pathsOf(
  motion: Motion,
  { seconds, width, height }: { seconds: number; width: number; height: number },
  draw: Draw,
): Path[] {
  const least = Math.min(width, height)
  const size = least * draw.between(0.3, 0.45)
  const inside = (length: number, share: number) => size / 2 + share * (length - size)
  const [x, y] = [inside(width, draw.uniform()), inside(height, draw.uniform())]
  const still: Path = () => ({ x, y, size })
  if (motion.kind === 'appear') {
    const when = seconds * draw.between(0.25, 0.6)
    return [(t) => (t < when ? undefined : { x, y, size })]
  }
  if (motion.kind === 'grow' || motion.kind === 'shrink') {
    const [from, to] = motion.kind === 'grow' ? [0.35, 1] : [1, 0.35]
    const middle = { x: inside(width, 0.25 + draw.uniform() / 2), y: inside(height, 0.25 + draw.uniform() / 2) }
    return [(t) => ({ ...middle, size: size * (from + (to - from) * Math.min(1, t / seconds)) })]
  }
  if (motion.kind === 'move' || motion.kind === 'bounce') {
    const [dx, dy] = signs[motion.direction as Direction]
    const length = dx !== 0 ? width : height
    const speed = speeds[motion.speed as Speed] * least
    const room = length - size
    if (motion.kind === 'bounce') {
      const start = draw.uniform()
      const along = (t: number) =>
        size / 2 + room * folded(dx + dy > 0 ? start + (speed * t) / room : 2 - start + (speed * t) / room)
      return [(t) => (dx !== 0 ? { x: along(t), y, size } : { x, y: along(t), size })]
    }
    const way = Math.min(room, speed * seconds)
    const start = draw.uniform() * (room - way)
    const from = size / 2 + (dx + dy > 0 ? start : room - start)
    const along = (t: number) => from + (dx + dy) * Math.min(way, speed * t)
    return [(t) => (dx !== 0 ? { x: along(t), y, size } : { x, y: along(t), size })]
  }
  if (motion.kind === 'cross') {
    const rightwards = motion.direction === 'right'
    const rows = [inside(height, 0.1 + 0.2 * draw.uniform()), inside(height, 0.7 + 0.2 * draw.uniform())]
    return rows.map((row, i): Path => {
      const forward = (i === 0) === rightwards
      return (t) => {
        const share = Math.min(1, t / seconds)
        return { x: inside(width, forward ? share : 1 - share), y: row, size }
      }
    })
  }
  return [still]
}

/** A caption of a motion: things, motion, and mostly the background. */
export function motionCaption(
  motion: Motion,
  nouns: readonly Noun[],
  background: string,
  draw: Draw,
  { heldOut = false }: { readonly heldOut?: boolean } = {},
): string {
  const [first, second] = nouns.map(({ words }) => withArticle(draw.of(words))) as [string, string | undefined]
  const { kind, direction, speed } = motion
  const to = direction === 'left' || direction === 'right' ? draw.of([direction, `to the ${direction}`]) : direction
  const how = speed ? ` ${speed}` : ''
  const acts: Readonly<Record<MotionKind, readonly string[]>> = {
    still: [`${first} stands still`, `${first} does not move`, first],
    move: [`${first} moves ${to}${how}`, `${first} goes ${to}${how}`, `${first}${how === '' ? '' : `${how},`} moving ${to}`],
    bounce: [
      `${first} bounces ${direction === 'left' || direction === 'right' ? 'from side to side' : 'up and down'}${how}, first ${direction}`,
      `${first} bounces ${direction} and back${how}`,
    ],
    appear: [`${first} appears`, `suddenly there is ${first}`],
    grow: [`${first} grows`, `${first} gets larger`],
    shrink: [`${first} shrinks`, `${first} gets smaller`],
    cross: [
      `${first} and ${second} cross, the first going ${direction}`,
      `${first} goes ${direction} and ${second} the other way`,
    ],
  }
  const act = draw.of(acts[kind])
  const where = heldOut
    ? [`${act}, and behind it all is ${background}`, `${background} everywhere; ${act}`]
    : [`${act} over a ${background} background`, `${act} on ${background}`, `${act} on a ${background} background`]
  return draw.chance(0.85) || heldOut ? draw.of(where) : act
}
