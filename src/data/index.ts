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
export {
  type BlurKernel,
  type BlurOptions,
  type BlurShape,
  bell,
  type DegradationOptions,
  degrade,
  drawBlur,
  filter,
  gaussianNoise,
  greyOf,
  interpolate,
  padded,
  plateau,
  poissonNoise,
  type ResizeMode,
  type Round,
  realEsrganDegradations,
  resizeModes,
  type Spread,
  sinc,
  type UnitImage,
  unsharpMask,
} from './degradations/index.ts'
export { isHeldOutDocument, readDocuments, type TextDocument } from './documents.ts'
export { type BrokenFile, DataError } from './errors.ts'
export { type ImageFolder, type ImageFolderOptions, imageFolder } from './folder.ts'
export { agreementGrammar, type Grammar, type GrammarRule, grammarOf } from './grammar.ts'
export { type ListedImage, type Listing, listImages } from './listing.ts'
export { type SpeechSplit, speeches, speechSplitOf, speechSplits } from './speeches.ts'
export { captionOf, type Described, describedBy, isHeldOutPhrasing, type SceneCaption } from './stickers/captions.ts'
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
export {
  type Ground,
  groundNames,
  grounds,
  type Lattice,
  type Place,
  type Placed,
  type StickerScene,
  type Told,
} from './stickers/earlier-names.ts'
export {
  type FilmDataset,
  type FilmOptions,
  type FilmScene,
  type FilmShape,
  type FilmSplit,
  filmDataset,
  filmSplits,
} from './stickers/films.ts'
export { largeScenes } from './stickers/large.ts'
export {
  type ComposedScene,
  type ObjectSizes,
  objectSizes,
  type SceneGrid,
  type SceneGroup,
  type ScenePosition,
  type Setting,
} from './stickers/layout.ts'
export { type LayoutBox, layoutColour, layoutMap } from './stickers/layout-map.ts'
export {
  type Direction,
  directions,
  heldOutMotions,
  isHeldOutMotion,
  isHeldOutMotionOf,
  type Motion,
  type MotionKind,
  motionKinds,
  motionName,
  type Path,
  type Pose,
  type Speed,
  speeds,
} from './stickers/motions.ts'
export { withArticle } from './stickers/names.ts'
export { isCounted, type Noun, nounsOf, pluralOf, sceneNouns } from './stickers/nouns.ts'
export { loadRasters, type RasterOptions, type RasterProgress, type Rasters } from './stickers/rasters.ts'
export {
  type Background,
  backgroundNames,
  backgroundOf,
  backgrounds,
  drawScene,
  type Scene,
  type SceneObject,
} from './stickers/scene.ts'
export {
  areHeldApart,
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
