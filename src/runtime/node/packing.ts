import { realpathSync } from 'node:fs'
import type { Pending } from '../../core/onnx/builder.ts'
import type { Lowered } from '../../core/onnx/lower.ts'
import { bytesOfStored, external } from '../../core/onnx/stored.ts'
import type { Filled } from '../backend.ts'
import { fillByRange } from '../fill-by-range.ts'
import { checkStamp } from '../stamp.ts'
import { type FileRequest, packStore } from './pack-store.ts'
import { layOut, type Range, WeightPacker } from './packer.ts'
import { cannotOpen, readFully } from './read.ts'
import { TemporaryWeightFile } from './weight-file.ts'

/** Bytes of packed weights up to which they go into the graph itself: a file costs more than packing them again. */
const FEW = 2 ** 20
/** Bytes that a graph itself holds at most: ONNX Runtime copies them, and reads no graph of 2 GiB. */
const MOST_IN_GRAPH = 2 ** 28

/**
 * Fills in a graph's weights so that they take memory once: those in files are mapped where they lie, packed ones from the
 * cache folder, or from a temporary file where they are not kept.
 */
export async function fillFromFiles(graph: Lowered): Promise<Filled> {
  const packer = new WeightPacker()
  const releases: (() => void)[] = []
  try {
    const inFiles = graph.packing.filter(isInFile)
    const small = bytesOf(inFiles) <= FEW
    const [direct, mapped] = partition(graph.direct, ({ stored }) => 'data' in stored)
    for (const { tensor, stored } of mapped) {
      if (!('file' in stored)) continue
      checkStamp(stored)
      Object.assign(tensor, external(locateFromRoot(stored.file), stored.offset, bytesOfStored(stored)))
    }
    if (!small) releases.push(placeFromFiles(inFiles, packer))
    const rest = graph.packing.filter((request) => small || !isInFile(request))
    const bytes = bytesOf(rest) + direct.reduce((sum, { stored }) => sum + bytesOfStored(stored), 0)
    if (bytes > MOST_IN_GRAPH) releases.push(spill({ direct, packing: rest }, bytes, packer))
    else await fillByRange({ direct, packing: rest }, async (range, length) => readFully(range, new Uint8Array(length)))
  } catch (error) {
    for (const release of releases) release()
    throw error
  } finally {
    packer.free()
  }
  return {
    release: () => {
      for (const release of releases) release()
    },
  }
}

const isInFile = (request: Pending): request is Pending & FileRequest => 'file' in request.stored

const bytesOf = (requests: readonly Pending[]) => requests.reduce((sum, request) => sum + layOut(request).bytes, 0)

function partition<T>(list: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [list.filter(test), list.filter((item) => !test(item))]
}

/** Fills in weights that are kept packed on disk; where they are not, from a temporary file. */
function placeFromFiles(requests: readonly (Pending & FileRequest)[], packer: WeightPacker): () => void {
  const bytes = bytesOf(requests)
  const store = packStore()
  if (!store?.hasRoomFor(bytes)) return spill({ direct: [], packing: requests }, bytes, packer)
  const { kept, done } = store.place(requests, packer)
  for (const [i, { file, packed }] of kept.entries()) locate(requests[i] as Pending, locateFromRoot(file), packed.ranges)
  return done
}

/** Writes weights into a temporary file, and fills them in from there. */
function spill({ direct, packing }: Pick<Lowered, 'direct' | 'packing'>, bytes: number, packer: WeightPacker): () => void {
  const file = new TemporaryWeightFile(bytes)
  try {
    const location = locateFromRoot(file.path)
    for (const { tensor, stored } of direct) {
      if (!('data' in stored)) continue
      const { buffer, byteOffset, byteLength } = stored.data
      const offset = file.append(new Uint8Array(buffer, byteOffset, byteLength))
      Object.assign(tensor, external(location, offset, byteLength))
    }
    file.append(new Uint8Array(-file.size & 4095))
    for (const request of packing) {
      const { ranges } = layOut(request, file.size)
      file.append(packer.pack(request))
      locate(request, location, ranges)
    }
  } catch (error) {
    file.remove()
    throw error
  }
  file.close()
  return () => file.remove()
}

function locate({ tensors }: Pending, location: string, ranges: readonly Range[]): void {
  for (const [i, { offset, length }] of ranges.entries()) Object.assign(tensors[i] as object, external(location, offset, length))
}

/**
 * A weight's file as a graph names it: relative to the root, symbolic links resolved (ONNX Runtime refuses both otherwise).
 * On Windows the drive stays in front, which ONNX Runtime's folder `/` has not been tried with.
 */
export function locateFromRoot(file: string): string {
  try {
    return realpathSync(file).replace(/^[/\\]+/, '')
  } catch (cause) {
    throw cannotOpen(file, cause)
  }
}
