import { type FilmShape, type Motion, speeds } from '../../data/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Count } from './bootstrap.ts'

/** What differs from a picture's background: its share of the picture, and its centre as shares of the longer side; none where it is too little. */
export interface Track {
  readonly area: number
  readonly centre?: readonly [x: number, y: number] | undefined
}

/** How far a colour must be from the background's, of values in [−1, 1]; and the least share of a picture that counts as a thing. */
const APART = 0.35
const LEAST = 0.01

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number

/** Where a film's things are in each of its pictures [T, 3, H, W]: what is unlike the background, whose colour is the border's median. */
export function trackFilm(frames: NdArray<'f32'>): Track[] {
  const [T, , H, W] = frames.shape as [number, number, number, number]
  const at = (t: number, c: number, i: number) => frames.data[(t * 3 + c) * H * W + i] as number
  const border = Array.from({ length: H * W }, (_, i) => i).filter((i) => {
    const [x, y] = [i % W, Math.floor(i / W)]
    return x === 0 || y === 0 || x === W - 1 || y === H - 1
  })
  return Array.from({ length: T }, (_, t): Track => {
    const background = [0, 1, 2].map((c) => median(border.map((i) => at(t, c, i))))
    let [count, x, y] = [0, 0, 0]
    for (let i = 0; i < H * W; i++) {
      if (!background.some((level, c) => Math.abs(at(t, c, i) - level) > APART)) continue
      count++
      x += i % W
      y += Math.floor(i / W)
    }
    const area = count / (H * W)
    const side = Math.max(H, W)
    return area < LEAST ? { area } : { area, centre: [x / count / side, y / count / side] }
  })
}

/** What is asked of a film. */
export const filmFacts = ['permanence', 'direction', 'speed', 'change'] as const
export type FilmFact = (typeof filmFacts)[number]

/**
 * What a film shows of a motion that it was asked for. `permanence`: its thing is there in every picture. `direction`: what moves goes the
 * way that was said, what bounces along the axis. `speed`: it is nearer to what was said than to the other. `change`: what appears was not
 * there, what grows grew, what stands still stood.
 */
export function judgeFilm(tracks: readonly Track[], motion: Motion, { width, height, rate }: FilmShape): Record<FilmFact, Count> {
  const none = { right: 0, asked: 0 }
  const asked = (right: boolean): Count => ({ right: Number(right), asked: 1 })
  const { kind, direction, speed } = motion
  const seen = tracks.flatMap(({ centre }, t) => (centre ? [{ t, centre }] : []))
  const [first, last] = [seen[0], seen.at(-1)]
  const there = (track: Track | undefined) => track?.centre !== undefined
  const permanence = kind === 'appear' ? none : { right: seen.length, asked: tracks.length }
  const axis = direction === 'left' || direction === 'right' ? 0 : 1
  const sign = direction === 'right' || direction === 'down' ? 1 : -1
  const along = (k: 0 | 1) => (first && last ? (last.centre[k] as number) - (first.centre[k] as number) : 0)
  const spread = (k: 0 | 1) => Math.max(...seen.map(({ centre }) => centre[k])) - Math.min(...seen.map(({ centre }) => centre[k]))
  const far = 0.03
  const found: Record<FilmFact, Count> = { permanence, direction: none, speed: none, change: none }
  if (kind === 'move') {
    const [own, other] = [along(axis), along((1 - axis) as 0 | 1)]
    found.direction = asked(sign * own > far && Math.abs(own) > Math.abs(other))
    const steps = seen.slice(1).map(({ t, centre }, i) => {
      const before = seen[i] as (typeof seen)[number]
      return (Math.abs((centre[axis] as number) - (before.centre[axis] as number)) * rate) / (t - before.t)
    })
    // What has come to the edge stands: its speed is that of the faster half.
    const moving = steps.sort((a, b) => b - a).slice(0, Math.max(1, steps.length >> 1))
    const pace = moving.length > 0 ? median(moving) / (Math.min(width, height) / Math.max(width, height)) : 0
    const off = (said: 'slowly' | 'fast') => Math.abs(Math.log(Math.max(pace, 1e-3) / speeds[said]))
    if (speed) found.speed = asked(off(speed) < off(speed === 'fast' ? 'slowly' : 'fast'))
  } else if (kind === 'bounce') {
    found.direction = asked(seen.length > 1 && spread(axis) > far && spread(axis) > spread((1 - axis) as 0 | 1))
  } else if (kind === 'appear') {
    found.change = asked(!there(tracks[0]) && there(tracks.at(-1)))
  } else if (kind === 'grow' || kind === 'shrink') {
    const ratio = (tracks.at(-1)?.area ?? 0) / Math.max(tracks[0]?.area ?? 0, LEAST / 4)
    found.change = asked(kind === 'grow' ? ratio > 1.5 : ratio < 1 / 1.5)
  } else if (kind === 'still') {
    found.change = asked(seen.length > 0 && spread(0) < far && spread(1) < far)
  }
  return found
}
