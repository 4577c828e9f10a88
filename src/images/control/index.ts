import type { Pixels } from '../pixels.ts'
import { outline } from './outline.ts'

export { foreground, overlap } from './foreground.ts'
export { outline } from './outline.ts'

/** What makes a control image of a picture, by name: levels [H, W, 3] to levels [H, W, 3]. */
export const preprocessors = { outline } as const satisfies Readonly<Record<string, (pixels: Pixels) => Pixels>>
export type Preprocessor = keyof typeof preprocessors
export const preprocessorNames = Object.keys(preprocessors) as Preprocessor[]
