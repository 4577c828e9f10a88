import type { Picture, Pixels } from '../images/index.ts'
import { imageGrid } from '../images/pixels.ts'

/** Pictures of a film side by side, evenly spaced, the first and the last among them. */
export function filmStrip(frames: readonly Picture[], most = 6): Pixels {
  const count = Math.min(most, frames.length)
  const at = (k: number) => (count === 1 ? 0 : Math.round((k * (frames.length - 1)) / (count - 1)))
  const shown = Array.from({ length: count }, (_, k) => frames[at(k)] as Picture)
  return imageGrid(shown, { columns: count })
}
