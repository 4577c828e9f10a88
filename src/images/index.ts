export {
  type FitMode,
  fillMasked,
  fitPicture,
  hiresSize,
  type MaskedContent,
  maskedLatents,
  pasteBack,
} from './canvas.ts'
export { type ChartAxis, type ChartSeries, chartSvg, drawChart, type LineChart, movingAverage } from './chart.ts'
export * from './control/index.ts'
export {
  blockOtherLoaders,
  type DecodeOptions,
  decodeImage,
  decodePixels,
  formatOf,
  type ImageFormat,
  type ImageHeader,
  readHeader,
} from './decode.ts'
export {
  type AnimationOptions,
  encodeAnimation,
  encodeJpeg,
  encodePlanes,
  encodePng,
  encodeWebp,
  jpegLevels,
  type LossyOptions,
  type PngOptions,
  savePicture,
  savePlanes,
  savePng,
} from './encode.ts'
export { ImageError, type ImageFault } from './errors.ts'
export { decodeMask, type MaskAlpha, maskLevels } from './mask.ts'
export { drawParticles, type ParticleLayer, type ParticleOptions, type ParticlePanel } from './particles.ts'
export {
  type Colour,
  type GridOptions,
  type ImageTensor,
  imageGrid,
  imagesOf,
  type Picture,
  type Pixels,
  pixelsOf,
  toPixels,
  toRgb,
  toTensor,
} from './pixels.ts'
export { readPngText, withPngText } from './pngtext.ts'
export { checkPicture, pictureFault } from './range.ts'
export { type Kernel, type ResizeOptions, resize, type Taps, type TapsOptions, taps } from './resize.ts'
export {
  optionsOf,
  type PictureSettings,
  parseComfyGraph,
  parseParameters,
  readPictureText,
  readSettings,
} from './settings.ts'
export { drawSvg } from './svg.ts'
export { drawInTerminal, type TerminalGraphics, type TerminalStream, terminalGraphics } from './terminal.ts'
