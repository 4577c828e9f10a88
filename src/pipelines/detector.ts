import { input } from '../core/tensor.ts'
import { type DetectorConfig, detector } from '../models/detector/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../runtime/program.ts'
import { Programs } from '../runtime/programs.ts'
import type { Weights } from '../runtime/weights.ts'
import { openNetwork, storedIn } from './open/network.ts'
import { parts } from './options.ts'

/** An object as it is found: centre and side as fractions of the picture's side. */
export interface FoundObject {
  readonly name: string
  readonly x: number
  readonly y: number
  readonly size: number
  /** Of there being an object. */
  readonly probability: number
}

/** What is found in one picture. */
export interface Finding {
  readonly objects: readonly FoundObject[]
  /** The likeliest answer a head. */
  readonly answers: Readonly<Record<string, string>>
}

export interface SceneDetector {
  readonly config: DetectorConfig
  /** images [N, C, H, W] in [−1, 1] → what is in each, and features [N, D] by which pictures can be compared. */
  detect(images: NdArray<'f32'>): Promise<{ readonly found: Finding[]; readonly features: NdArray<'f32'> }>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens a detector's folder, as training writes it.
 *
 * @throws ConfigError, FolderError, ModelConfigError, CheckpointError: what is wrong with which file
 */
export function loadDetector(dir: string, options: CompileOptions = {}): SceneDetector {
  return createDetector(openNetwork(storedIn(dir, ['CentreDetector'])), options)
}

/** A detector from its parts. */
export function createDetector(
  { config, weights }: { readonly config: DetectorConfig; readonly weights: Weights },
  options: CompileOptions = {},
): SceneDetector {
  const network = detector(new Params(), config)
  const heads = Object.entries(config.heads)
  const programs = new Programs((batch: number) => {
    const { centres, classes, sizes, logits, features } = network(
      input('images', [batch, 3, config.sample_size, config.sample_size]),
    )
    const answers = Object.fromEntries(heads.map(([head]) => [`answer ${head}`, (logits[head] as typeof centres).argmax()]))
    return compile(
      { outputs: { centres: centres.sigmoid(), names: classes.argmax(), sizes: sizes.exp(), features, ...answers }, weights },
      options,
    )
  })
  return {
    config,
    async detect(images) {
      const found: Finding[] = []
      const features: NdArray<'f32'>[] = []
      for (const [from, to] of parts(images.shape[0] as number, 32)) {
        const out = await (await programs.get(to - from)).run({ images: images.slice(0, from, to) })
        const value = (name: string, at: number) => Number((out[name] as NdArray).data[at])
        features.push(out.features as NdArray<'f32'>)
        for (let i = 0; i < to - from; i++) {
          const answers = heads.map(([head, names]) => [head, names[value(`answer ${head}`, i)] as string] as const)
          found.push({ objects: peaks(out, i, config.classes), answers: Object.fromEntries(answers) })
        }
      }
      return { found, features: NdArray.concat(features) }
    },
    release: () => programs.release(),
  }
}

/** Cells that are likelier than this, and than all eight around them, are objects. */
const LEAST = 0.3

function peaks(out: Readonly<Record<string, NdArray>>, picture: number, classes: readonly string[]): FoundObject[] {
  const { centres, names, sizes } = out as Record<'centres' | 'names' | 'sizes', NdArray>
  const side = centres.shape[1] as number
  const first = picture * side * side
  const at = (x: number, y: number) =>
    x < 0 || y < 0 || x >= side || y >= side ? 0 : (centres.data[first + y * side + x] as number)
  const found: FoundObject[] = []
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const probability = at(x, y)
      if (probability < LEAST || around.some(([dx, dy]) => at(x + dx, y + dy) > probability)) continue
      const cell = first + y * side + x
      found.push({
        name: classes[Number(names.data[cell])] as string,
        x: (x + 0.5) / side,
        y: (y + 0.5) / side,
        size: Number(sizes.data[cell]),
        probability,
      })
    }
  return found
}

const around = [-1, 0, 1].flatMap((dx) => [-1, 0, 1].map((dy) => [dx, dy] as const)).filter(([dx, dy]) => dx !== 0 || dy !== 0)
