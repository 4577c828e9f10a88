import type { Pixels } from '../pixels.ts'
import { canny } from './canny.ts'
import { outline } from './outline.ts'
import { blur, scribble } from './soft.ts'

export { type CannyOptions, canny } from './canny.ts'
export { foreground, overlap } from './foreground.ts'
export { outline } from './outline.ts'
export { blur, scribble } from './soft.ts'

/** What makes a control image of a picture, by name: levels [H, W, 3] to levels [H, W, 3]. */
export const preprocessors = {
  canny: (pixels: Pixels) => canny(pixels),
  outline,
  scribble,
  blur,
} as const satisfies Readonly<Record<string, (pixels: Pixels) => Pixels>>
export type Preprocessor = keyof typeof preprocessors
export const preprocessorNames = Object.keys(preprocessors) as Preprocessor[]
