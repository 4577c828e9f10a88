export { type DegradationOptions, degrade, type Round, realEsrganDegradations } from './degrade.ts'
export {
  type BlurKernel,
  type BlurOptions,
  type BlurShape,
  bell,
  drawBlur,
  padded,
  plateau,
  type Spread,
  sinc,
} from './kernels.ts'
export { gaussianNoise, greyOf, poissonNoise } from './noise.ts'
export { filter, interpolate, type ResizeMode, resizeModes, type UnitImage } from './planes.ts'
export { unsharpMask } from './sharpen.ts'
