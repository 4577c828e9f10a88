import type { NdArray } from '../runtime/ndarray.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { PickleError } from './errors.ts'
import type { Json } from './json.ts'
import { openTorchFile } from './pickle/torch-file.ts'
import { openSafetensors } from './safetensors.ts'

/** One file's tensors, each where it lies, and the texts beside them. */
export interface WeightFile {
  readonly metadata: Readonly<Record<string, string>>
  /** Of PyTorch's: dicts of settings beside the state dict, as JSON has them. */
  readonly fields?: Readonly<Json>
  readonly tensors: Map<string, NdArray | FileTensor>
}

/**
 * Opens one file of weights by what it holds, whatever its name: safetensors, or a state dict that `torch.save` wrote.
 *
 * @throws SafetensorsError, PickleError
 */
export function openWeightFile(path: string): WeightFile {
  try {
    return openSafetensors(path)
  } catch (error) {
    if (!(error instanceof PickleError)) throw error
    return openTorchFile(path)
  }
}
