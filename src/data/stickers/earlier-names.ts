import type { Described } from './captions.ts'
import type { ComposedScene, SceneGrid, ScenePosition } from './layout.ts'
import { type Background, backgroundNames, backgrounds, type SceneObject } from './scene.ts'

// Names of before, for programs that were written with them.

/** @deprecated Use `backgrounds`. */
export const grounds = backgrounds
/** @deprecated Use `backgroundNames`. */
export const groundNames = backgroundNames
/** @deprecated Use `Background`. */
export type Ground = Background
/** @deprecated Use `SceneObject`. */
export type Placed = SceneObject
/** @deprecated Use `ScenePosition`. */
export type Place = ScenePosition
/** @deprecated Use `ComposedScene`. */
export type StickerScene = ComposedScene
/** @deprecated Use `SceneGrid`. */
export type Lattice = SceneGrid
/** @deprecated Use `Described`. */
export type Told = Described
