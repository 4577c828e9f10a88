import { input } from '../core/tensor.ts'
import { type ClassifierConfig, classifier } from '../models/classifier/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../runtime/program.ts'
import { Programs } from '../runtime/programs.ts'
import { openNetwork, storedIn } from './open/network.ts'
import { parts } from './options.ts'

/** What a classifier finds in N pictures. */
export interface Classification {
  /** [N, D] */
  readonly features: NdArray<'f32'>
  /** [N, classes] a head. */
  readonly logits: Readonly<Record<string, NdArray<'f32'>>>
}

export interface ImageClassifier {
  readonly config: ClassifierConfig
  /** images [N, C, H, W] in [−1, 1], `batch` through the network at once, which is no matter to the result. */
  classify(images: NdArray<'f32'>, options?: { readonly batch?: number }): Promise<Classification>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens a classifier's folder, as training writes it: `config.json` and `model.safetensors`.
 *
 * @throws ConfigError, FolderError, ModelConfigError, CheckpointError: what is wrong with which file
 */
export function loadClassifier(dir: string, options: CompileOptions = {}): ImageClassifier {
  const { config, weights } = openNetwork(storedIn(dir, ['ResidualClassifier']))
  const network = classifier(new Params(), config)
  const programs = new Programs((batch: number) => {
    const { features, logits } = network(input('images', [batch, config.in_channels, config.sample_size, config.sample_size]))
    return compile({ outputs: { features, ...prefixed(logits) }, weights }, options)
  })

  return {
    config,
    async classify(images, { batch = 64 } = {}) {
      const found: Record<string, NdArray>[] = []
      for (const [from, to] of parts(images.shape[0] as number, batch)) {
        const program = await programs.get(to - from)
        found.push(await program.run({ images: images.slice(0, from, to) }))
      }
      const joined = (name: string) => NdArray.concat(found.map((one) => one[name] as NdArray<'f32'>))
      const heads = Object.keys(config.heads)
      return {
        features: joined('features'),
        logits: Object.fromEntries(heads.map((head) => [head, joined(prefix + head)])),
      }
    },
    release: () => programs.release(),
  }
}

/** Before a head's name among a program's outputs. */
const prefix = 'logits of '
const prefixed = <T>(heads: Readonly<Record<string, T>>) =>
  Object.fromEntries(Object.entries(heads).map(([head, value]) => [prefix + head, value]))
