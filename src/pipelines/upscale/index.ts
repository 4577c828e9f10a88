export { openUpscaler, type UpscalerNetwork } from './open.ts'
export type { TileProgress, Tiling } from './tiles.ts'
export { loadUpscaler, type UpscaleOptions, type Upscaler } from './upscaler.ts'
