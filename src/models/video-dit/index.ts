export { type VideoDitConfig, videoDitConfig, videoDitSchema } from './config.ts'
export { type VideoConditions, type VideoDit, videoDit } from './network.ts'
export { filmGeometry, type Geometry, geometryOf, onFilms, patchesOf } from './tokens.ts'
