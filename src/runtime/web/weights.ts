import type { Lowered } from '../../core/onnx/lower.ts'
import type { OnnxModel } from '../../core/onnx/proto.ts'
import { bytesOfStored, external } from '../../core/onnx/stored.ts'
import type { FileRange } from '../../core/onnx/types.ts'
import type { Filled } from '../backend.ts'
import { EngineError } from '../engine-error.ts'
import { fillByRange } from '../fill-by-range.ts'
import { checkStamp } from '../stamp.ts'
import { blobOf } from './files.ts'

/** Weights of fewer bytes go into the graph itself. */
const FEW = 4096

/** Bytes or ranges of files that graphs name as their weights, until their sessions are made. */
const outside = new Map<string, Uint8Array | FileRange>()
let count = 0

/** Bytes of a mounted file. @throws StaleFileError, EngineError for a file that cannot be read any more */
export async function readRange(range: FileRange, length: number): Promise<Uint8Array> {
  checkStamp(range)
  const { file, offset } = range
  const bytes = await blobOf(file)
    .slice(offset, offset + length)
    .arrayBuffer()
    .catch((cause: unknown) => {
      throw new EngineError(
        `the weights' file ${file} cannot be read; it was changed or moved since it was chosen: choose it again`,
        {
          cause,
        },
      )
    })
  if (bytes.byteLength !== length) throw new EngineError(`${file} ends before a weight of ${length} bytes at ${offset}`)
  return new Uint8Array(bytes)
}

/**
 * Fills in a graph's weights as parts from outside, so that they do not pass through the graph's own bytes: what is packed from
 * memory, the rest by its place in its file, from which it is read when the session is made.
 */
export async function fillFromBlobs({ direct, packing }: Lowered): Promise<Filled> {
  const locations: string[] = []
  const place = (content: Uint8Array | FileRange) => {
    const location = `weight-${++count}`
    outside.set(location, content)
    locations.push(location)
    return location
  }
  const inFiles = direct.filter(({ stored }) => 'file' in stored && bytesOfStored(stored) >= FEW)
  for (const { tensor, stored } of inFiles) {
    if (!('file' in stored)) continue
    checkStamp(stored)
    Object.assign(tensor, external(place(stored), 0, bytesOfStored(stored)))
  }
  await fillByRange({ direct: direct.filter((one) => !inFiles.includes(one)), packing }, readRange)
  const filled = [...direct.map(({ tensor }) => tensor), ...packing.flatMap(({ tensors }) => tensors)]
  for (const tensor of filled) {
    const { rawData } = tensor as { rawData?: Uint8Array }
    if (rawData === undefined || rawData.length < FEW) continue
    Object.assign(tensor, external(place(rawData), 0, rawData.length))
    delete (tensor as { rawData?: Uint8Array }).rawData
  }
  return {
    release: () => {
      for (const location of locations) outside.delete(location)
    },
  }
}

/** What a graph names as its weights, as onnxruntime-web takes it. @param blobs whether it reads of blobs what it needs */
export async function externalDataOf(model: OnnxModel, blobs: boolean): Promise<{ path: string; data: Uint8Array | Blob }[]> {
  const parts: { path: string; data: Uint8Array | Blob }[] = []
  for (const { externalData } of model.graph.initializer) {
    const [location, , length] = externalData?.map(({ value }) => value) ?? []
    const content = location === undefined ? undefined : outside.get(location)
    if (location === undefined || content === undefined) continue
    const size = Number(length)
    if (content instanceof Uint8Array) parts.push({ path: location, data: content })
    else if (blobs) parts.push({ path: location, data: blobOf(content.file).slice(content.offset, content.offset + size) })
    else parts.push({ path: location, data: await readRange(content, size) })
  }
  return parts
}
