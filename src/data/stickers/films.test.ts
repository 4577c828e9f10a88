import { expect, test } from 'vitest'
import { stickerCatalogue } from './catalogue.ts'
import { type FilmShape, filmDataset, filmSplits } from './films.ts'
import { heldOutMotions, isHeldOutMotionOf, motionName, speeds } from './motions.ts'
import { sceneNouns } from './nouns.ts'
import { backgrounds } from './scene.ts'

const shape: FilmShape = { width: 48, height: 32, frames: 9, rate: 4 }
const nouns = sceneNouns().slice(0, 24)
const films = await filmDataset({ styles: ['noto'], nouns })

/** Where a film's things are by their difference from the background: the centre of each picture in pixels, and how many differ. */
function tracked(frames: { readonly data: ArrayLike<number>; readonly shape: readonly number[] }, background: readonly number[]) {
  const [T, , H, W] = frames.shape as [number, number, number, number]
  return Array.from({ length: T }, (_, t) => {
    let [sum, x, y] = [0, 0, 0]
    for (let i = 0; i < H * W; i++) {
      const away = Math.max(
        ...[0, 1, 2].map((c) =>
          Math.abs((frames.data[(t * 3 + c) * H * W + i] as number) - (2 * (background[c] as number)) / 255 + 1),
        ),
      )
      if (away < 0.15) continue
      sum++
      x += i % W
      y += Math.floor(i / W)
    }
    return { sum, x: x / sum, y: y / sum }
  })
}
const positions = Array.from({ length: 400 }, (_, i) => i)
const of = (kind: string) => positions.filter((at) => films.filmAt(at, shape).motion.kind === kind)

test('the same position is the same film, whatever was asked for before', async () => {
  const again = await filmDataset({ styles: ['noto'], nouns })
  again.framesAt(7, shape)
  expect(again.framesAt(3, shape).data).toEqual(films.framesAt(3, shape).data)
  expect(again.captionAt(3, 5)).toBe(films.captionAt(3, 5))
  expect((await filmDataset({ styles: ['noto'], nouns, seed: 1 })).captionAt(3)).not.toBe(films.captionAt(3))
})

test('what moves goes where its caption says, as fast as it says', () => {
  for (const at of of('move').slice(0, 12)) {
    const film = films.filmAt(at, shape)
    const path = tracked(films.render(film, shape), backgrounds[film.background])
    const { direction, speed } = film.motion
    const axis = direction === 'left' || direction === 'right' ? 'x' : 'y'
    const sign = direction === 'right' || direction === 'down' ? 1 : -1
    const step = ((path[2]?.[axis] as number) - (path[0]?.[axis] as number)) * sign
    // Pixels in half a second.
    expect(step / (0.5 * speeds[speed as 'fast'] * 32), films.captionAt(at)).toBeCloseTo(1, 0)
    expect(films.captionAt(at)).toContain(direction)
    expect(films.captionAt(at)).toContain(speed)
    const other = axis === 'x' ? 'y' : 'x'
    expect(Math.abs((path[8]?.[other] as number) - (path[0]?.[other] as number))).toBeLessThan(1)
  }
})

test('things appear, grow, shrink, bounce, cross and stand still', () => {
  const sizes = (at: number) => {
    const film = films.filmAt(at, shape)
    return tracked(films.render(film, shape), backgrounds[film.background])
  }
  for (const at of of('appear').slice(0, 3)) expect([sizes(at)[0]?.sum, (sizes(at)[8]?.sum as number) > 0]).toEqual([0, true])
  for (const at of of('grow').slice(0, 3)) expect(sizes(at)[8]?.sum).toBeGreaterThan(3 * (sizes(at)[0]?.sum as number))
  for (const at of of('shrink').slice(0, 3)) expect(sizes(at)[0]?.sum).toBeGreaterThan(3 * (sizes(at)[8]?.sum as number))
  for (const at of of('still').slice(0, 3)) expect(sizes(at)[8]).toEqual(sizes(at)[0])
  for (const at of of('cross').slice(0, 3)) {
    const { paths, motion } = films.filmAt(at, shape)
    const [first, second] = paths.map((path) => (path(2)?.x as number) - (path(0)?.x as number))
    expect(Math.sign(first as number)).toBe(motion.direction === 'right' ? 1 : -1)
    expect(second).toBeCloseTo(-(first as number), 6)
  }
  const long = { ...shape, frames: 81 }
  for (const at of of('bounce').slice(0, 3)) {
    const [path] = films.filmAt(at, long).paths
    const ways = Array.from({ length: 80 }, (_, t) => path?.((t + 1) / 4)).map((pose) => [pose?.x, pose?.y])
    expect(new Set(ways.map(String)).size).toBeGreaterThan(4)
    for (const [x, y] of ways as [number, number][]) expect(x > 0 && x < 1 && y > 0 && y < 2 / 3).toBe(true)
  }
})

test('held-out motions, combinations and phrasings are in their splits alone', async () => {
  for (const split of filmSplits) {
    const data = await filmDataset({ styles: ['noto'], nouns, split })
    for (const at of positions.slice(0, 60)) {
      const { motion, nouns: cast } = data.filmAt(at, shape)
      const unseen = cast.some(({ icon }) => isHeldOutMotionOf(icon.name, motion))
      expect(heldOutMotions.includes(motionName(motion))).toBe(split === 'motions')
      if (split !== 'motions') expect(unseen).toBe(split === 'combinations')
      const worded = /everywhere; |behind it all/.test(data.captionAt(at))
      expect(worded).toBe(split === 'phrasings')
    }
  }
  expect(stickerCatalogue().length).toBeGreaterThan(nouns.length)
})
