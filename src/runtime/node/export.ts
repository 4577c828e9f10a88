import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { ArgumentError } from '../../core/errors.ts'
import { topologicalOrder } from '../../core/grad.ts'
import { lower } from '../../core/onnx/lower.ts'
import { encodeModel } from '../../core/onnx/proto.ts'
import { bytesOfStored, external } from '../../core/onnx/stored.ts'
import type { StoredValue } from '../../core/onnx/types.ts'
import { isParameter } from '../../core/tensor.ts'
import { fillByRange } from '../fill-by-range.ts'
import type { Computation } from '../program.ts'
import { paged } from './packer.ts'
import { readFully } from './read.ts'

export interface ExportOptions {
  /** Weights within the file, or in `<name>.data` beside it: an ONNX file holds 2 GiB at most. */
  readonly weights?: 'embedded' | 'external'
}

/** Protobuf's limit, with room for the graph itself. */
const EMBEDDED_LIMIT = 2 ** 31 - 2 ** 26
/** Bytes that are copied at a time. */
const CHUNK = 2 ** 24

/**
 * Writes a computation as an ONNX file of standard operators only (opset 21, no custom domain). Parameters take their
 * values from the weights and the state; updates are left out. A file of that name is replaced once all is written.
 *
 * @returns the files written
 * @throws ArgumentError for parameters without a value, and where embedded weights exceed the format's 2 GiB
 */
export async function exportOnnx(
  { outputs, weights = new Map(), state }: Omit<Computation, 'updates'>,
  path: string,
  { weights: place = 'embedded' }: ExportOptions = {},
): Promise<string[]> {
  const parameters = topologicalOrder(Object.values(outputs)).filter(isParameter)
  const values = new Map<string, StoredValue>()
  for (const { name = '' } of parameters) {
    const value = weights.get(name) ?? (state?.has(name) ? (await state.read([name])).get(name) : undefined)
    if (!value) throw new ArgumentError(`export of ${path}: parameter "${name}" has no value; give it in weights or in state`)
    values.set(name, value)
  }
  const total = [...values.values()].reduce((sum, value) => sum + bytesOfStored(value), 0)
  if (place === 'embedded' && total > EMBEDDED_LIMIT) {
    throw new ArgumentError(
      `export of ${path}: ${total} bytes of weights do not fit an ONNX file; export with { weights: 'external' }`,
    )
  }

  const data = `${path}.data`
  const [modelPart, dataPart] = [`${path}.part`, `${data}.part`]
  try {
    const stored = place === 'embedded' ? values : writeData(dataPart, basename(data), values)
    const graph = lower({ outputs, weights: stored }, { target: 'portable' })
    if (place === 'embedded') await fillByRange(graph, async (range, length) => readFully(range, new Uint8Array(length)))
    else
      for (const { tensor, stored } of graph.direct)
        if ('file' in stored) Object.assign(tensor, external(stored.file, stored.offset, bytesOfStored(stored)))
    write(modelPart, encodeModel(graph.model))
    if (place === 'external') renameSync(dataPart, data)
    renameSync(modelPart, path)
  } finally {
    rmSync(modelPart, { force: true })
    rmSync(dataPart, { force: true })
  }
  return place === 'external' ? [path, data] : [path]
}

/** Writes all weights into one file, and says where each lies in it under the name that the file will have. */
function writeData(path: string, name: string, values: ReadonlyMap<string, StoredValue>): Map<string, StoredValue> {
  const stored = new Map<string, StoredValue>()
  const file = openSync(path, 'w')
  try {
    let end = 0
    for (const [key, value] of values) {
      const offset = paged(end)
      writeFileSync(file, Buffer.alloc(offset - end))
      for (const chunk of chunks(value)) writeFileSync(file, chunk)
      end = offset + bytesOfStored(value)
      stored.set(key, { dtype: value.dtype, shape: value.shape, file: name, offset })
    }
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  return stored
}

/** A weight's bytes, in chunks where it lies in a file. */
function* chunks(value: StoredValue): Generator<Uint8Array> {
  if ('data' in value) {
    yield new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength)
    return
  }
  const total = bytesOfStored(value)
  for (let done = 0; done < total; done += CHUNK)
    yield readFully({ ...value, offset: value.offset + done }, new Uint8Array(Math.min(CHUNK, total - done)))
}

function write(path: string, bytes: Uint8Array): void {
  const file = openSync(path, 'w')
  try {
    writeFileSync(file, bytes)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
