import { imagesOf, type Preprocessor, preprocessors, toPixels } from '../../../images/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import { type ScenesConfig, trainingData } from '../../data.ts'
import { heldOutSet, trainingScenes } from '../../held-out.ts'
import type { JobContext } from '../../recipe.ts'
import { hintsOf, sceneCondition } from './conditions.ts'
import type { Condition, ControlNetRecipe } from './schema.ts'

/** Pictures, captions and control images by position, from 0 to before `pool`. */
export interface ControlData {
  readonly pool: number
  /** [B, 3, H, W] in [−1, 1] */
  images(positions: readonly number[]): Promise<NdArray<'f32'>>
  /** [B, 3, H, W] in [0, 1] */
  hints(positions: readonly number[]): Promise<NdArray<'f32'>>
  captions(positions: readonly number[], generator: Generator): Promise<string[]>
  /** What tells these pictures from others, for what is kept of them. */
  readonly stamp: object
  /** Of a folder. */
  readonly fingerprint?: string | undefined
  /** Pictures that samples are compared with: those of scenes are held out. */
  shown(count: number): Promise<ControlExamples>
}

export interface ControlExamples {
  readonly images: NdArray<'f32'>
  readonly hints: NdArray<'f32'>
  readonly captions: readonly string[]
}

type Context = Pick<JobContext, 'seed' | 'onProgress' | 'warn'>

export const controlData = ({ data, ...recipe }: ControlNetRecipe, context: Context): Promise<ControlData> =>
  data.kind === 'scenes' ? ofScenes(data, recipe, context) : ofFolder(data, recipe, context)

type FolderData = Extract<ControlNetRecipe['data'], { kind: 'folder' }>
type Rest = Omit<ControlNetRecipe, 'data'>

async function ofScenes(
  data: ScenesConfig,
  { resolution: size, condition, pool }: Rest,
  { seed }: Context,
): Promise<ControlData> {
  const dataset = await trainingScenes(data, { size, seed })
  const made = condition as Condition
  const drawing = { side: size, render: dataset.render }
  /** Drawing a scene takes longer than keeping its map. */
  const kept = new Map<number, ReturnType<typeof sceneCondition>>()
  const mapAt = (position: number) => {
    const found = kept.get(position) ?? sceneCondition(made, dataset.sceneAt(position), drawing)
    kept.set(position, found)
    return found
  }
  return {
    pool,
    images: async (positions) => (await dataset.batch(positions)).images,
    hints: async (positions) => hintsOf(positions.map(mapAt)),
    captions: async (positions, generator) => positions.map((at) => dataset.captionAt(at, generator.bits()).text),
    stamp: { data, size, seed },
    async shown(count) {
      const { scenes, captions, render } = await heldOutSet(data, 'validation', { size, count })
      const hints = hintsOf(scenes.map((scene) => sceneCondition(made, scene, { side: size, render })))
      return { images: render(scenes), hints, captions }
    },
  }
}

async function ofFolder(
  { conditioning_image_column: conditionColumn, ...folder }: FolderData,
  { resolution: size, condition }: Rest,
  { seed, ...watch }: Context,
): Promise<ControlData> {
  const dataset = await trainingData(folder, { size, seed, conditionColumn, ...watch })
  const preprocess = condition && preprocessors[condition as Preprocessor]
  const batch = async (positions: readonly number[]) => {
    const { images, conditions, captions } = await dataset.batch(positions)
    const maps = preprocess
      ? imagesOf(images).map((image) => preprocess(toPixels(image)))
      : imagesOf(conditions as NdArray<'f32'>).map(toPixels)
    return { images, captions, hints: hintsOf(maps) }
  }
  return {
    pool: dataset.length,
    images: async (positions) => (await dataset.batch(positions)).images,
    hints: async (positions) => (await batch(positions)).hints,
    captions: async (positions) => [...(await dataset.batch(positions)).captions],
    stamp: { folder: dataset.fingerprint, size },
    fingerprint: dataset.fingerprint,
    shown: (count) => batch(Array.from({ length: Math.min(count, dataset.length) }, (_, at) => at)),
  }
}
