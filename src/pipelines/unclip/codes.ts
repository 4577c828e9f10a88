import { FolderError, openSafetensors, readTensor } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import type { AutoregressivePriorConfig, EmbeddingCodes } from '../../models/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { existsSync, join } from '../../runtime/system.ts'
import type { Part } from '../open/parts.ts'

/** The file beside an autoregressive prior that says which embedding its codes stand for. */
export const codesFile = 'codes.safetensors'

/** Components and their ranges in a prior's own folder. @throws FolderError, and ArgumentError for what does not fit the network */
export function openEmbeddingCodes(
  dir: string,
  { components: K, embedding_dim: D, buckets }: AutoregressivePriorConfig,
): EmbeddingCodes {
  const file = join(dir, codesFile)
  if (!existsSync(file)) throw new FolderError(dir, `has no ${codesFile}, which says what its codes are`)
  const { tensors } = openSafetensors(file)
  const shapes = { mean: [1, D], axes: [K, D], low: [K], high: [K] }
  const [mean, axes, low, high] = Object.entries(shapes).map(([name, shape]) => {
    const found = tensors.get(name)
    if (found && found.shape.join() === shape.join()) return readTensor(found).cast('f32')
    throw new ArgumentError(
      `${file}: expected ${name} [${shape.join(', ')}], got ${found ? `[${found.shape.join(', ')}]` : 'none'}`,
    )
  }) as NdArray<'f32'>[]
  return { mean, axes, low, high, buckets, kept: 1 } as EmbeddingCodes
}

/** The same among a page's parts. */
export const embeddingCodes = (component: string): Part<(config: AutoregressivePriorConfig) => EmbeddingCodes> => ({
  open: (source) => (config) => openEmbeddingCodes(source.beside(component), config),
})
