export type { CaptionOptions } from './captions.ts'
export {
  type Batch,
  type BatchesOptions,
  batches,
  type Cursor,
  cursorAt,
  type Dataset,
  positionOf,
  sampleBatch,
} from './dataset.ts'
export { type BrokenFile, DataError } from './errors.ts'
export { type ImageFolder, type ImageFolderOptions, imageFolder } from './folder.ts'
export { type ListedImage, type Listing, listImages } from './listing.ts'
export { captionOf, isHeldOutPhrasing, type SceneCaption, type Told } from './stickers/captions.ts'
export {
  type Category,
  categories,
  type Icon,
  type IconSource,
  iconSources,
  isHeldOut,
  type Style,
  stickerCatalogue,
  styles,
} from './stickers/catalogue.ts'
export { contentOf } from './stickers/content.ts'
export { largeScenes } from './stickers/large.ts'
export { type ObjectSizes, objectSizes, type Place, type SceneGroup, type Setting, type StickerScene } from './stickers/layout.ts'
export { withArticle } from './stickers/names.ts'
export { isCounted, type Noun, nounsOf, pluralOf, sceneNouns } from './stickers/nouns.ts'
export { loadRasters, type RasterOptions, type RasterProgress, type Rasters } from './stickers/rasters.ts'
export { drawScene, type Ground, groundNames, grounds, type Placed, type Scene } from './stickers/scene.ts'
export {
  areHeldApart,
  type Lattice,
  type SceneBatch,
  type SceneDataset,
  type SceneOptions,
  type SceneSplit,
  sceneDataset,
  sceneSplits,
} from './stickers/scenes.ts'
export {
  defaultScale,
  isHeldOutPair,
  type Split,
  type StickerBatch,
  type StickerDataset,
  type StickerOptions,
  stickerCaption,
  stickerDataset,
} from './stickers/stickers.ts'
