import { sizeOf } from '../../core/shape.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { fileStamp } from '../../runtime/stamp.ts'
import { closeSync, fstatSync } from '../../runtime/system.ts'
import type { FileTensor } from '../../runtime/weights.ts'
import { PickleError } from '../errors.ts'
import type { Json } from '../json.ts'
import { openFile, readAt } from '../reading.ts'
import { converted, readTensor } from '../safetensors.ts'
import { lazyArray, type StoredType, storedTypes } from '../stored-types.ts'
import type { Fail } from './globals.ts'
import { stateDict } from './state-dict.ts'
import { unpickle } from './unpickle.ts'
import { Dict, type Storage, type StoredTensor, type Value } from './values.ts'
import { contentOf, storedAt, zipEntries } from './zip.ts'

/** The largest pickle that is read, storages aside: a state dict takes some 200 bytes a tensor. */
const mostPickle = 2 ** 28

/** Elements that a tensor may have beyond its storage's, as an expanded one has. */
const mostExpanded = 2 ** 24

/** Where a storage's elements lie in the file. */
interface Place {
  readonly offset: number
  readonly bytes: number
}

/** What a file of PyTorch's holds. */
export interface TorchFile {
  /** Texts and numbers beside the state dict, as `name` and `epoch`. */
  readonly metadata: Readonly<Record<string, string>>
  /** Dicts of settings beside the state dict, as JSON has them. */
  readonly fields: Readonly<Json>
  readonly tensors: Map<string, NdArray | FileTensor>
}

/**
 * Opens a state dict that `torch.save` wrote (`.pt`, `.pth`, `.ckpt`, `.bin`), in an archive as since PyTorch 1.6 or in the form before.
 * The pickle is read as data: nothing is imported or called, and a name that no state dict needs is refused. Tensors stay in the file;
 * those that do not lie there in their own order are gathered when they are first used.
 *
 * Of the dicts `params_ema`, `params`, `state_dict`, `model` and the like the first is taken; dicts in dicts have keys with dots.
 *
 * @throws PickleError for what is no such file; SafetensorsError where it cannot be read
 */
export function openTorchFile(path: string): TorchFile {
  const { fd, file } = openFile(path)
  try {
    const { size } = fstatSync(fd)
    const stamp = fileStamp(fd)
    const fail: Fail = (reason, remedy) => {
      throw new PickleError(path, reason, remedy === undefined ? {} : { remedy })
    }
    const start = readAt(fd, 0, new Uint8Array(Math.min(size, 2)), path)
    const archive = start[0] === 0x50 && start[1] === 0x4b
    const { value, placeOf } = archive ? readArchive(fd, size, path, fail) : readLegacy(fd, size, path, fail)
    const { tensors, metadata, fields } = stateDict(value, fail)
    return {
      metadata,
      fields,
      tensors: new Map(Array.from(tensors, ([key, tensor]) => [key, placed(key, tensor, placeOf, file, stamp, fail)])),
    }
  } finally {
    closeSync(fd)
  }
}

interface Read {
  readonly value: Value
  readonly placeOf: (storage: Storage) => Place
}

function readArchive(fd: number, size: number, path: string, fail: Fail): Read {
  const entries = zipEntries(fd, size, path)
  const roots = [...entries.keys()].flatMap((name) => /^([^/]+\/)data\.pkl$/.exec(name)?.[1] ?? [])
  const [root] = roots
  if (root === undefined || roots.length > 1) return fail('an archive without data.pkl: not a file of torch.save')
  const order = entries.get(`${root}byteorder`)
  if (order && new TextDecoder().decode(contentOf(fd, size, order, 16, path)) !== 'little')
    fail('its numbers are not little-endian')
  const pickle = contentOf(fd, size, entries.get(`${root}data.pkl`) as NonNullable<typeof order>, mostPickle, path)
  const { value } = unpickle(pickle, 0, fail)
  return {
    value,
    placeOf: ({ key }) => {
      const entry = entries.get(`${root}data/${key}`) ?? fail(`it lacks the storage ${JSON.stringify(key)}`)
      return { offset: storedAt(fd, size, entry, path), bytes: entry.size }
    },
  }
}

const MAGIC = 0x1950a86a20f9469cfc6cn

/** PyTorch's form before 1.6: five pickles one after another, then every storage with its length before it. */
function readLegacy(fd: number, size: number, path: string, fail: Fail): Read {
  const storages = new Map<string, Storage>()
  let at = 0
  const next = (): Value => {
    for (let length = 2 ** 20; ; length *= 4) {
      const part = readAt(fd, at, new Uint8Array(Math.min(length, size - at)), path)
      const cut = at + part.length < size
      let short = false
      try {
        const { value, end } = unpickle(
          part,
          0,
          (reason, remedy) => {
            short = cut && reason.startsWith('it ends at byte')
            return fail(reason, remedy)
          },
          storages,
        )
        at += end
        return value
      } catch (error) {
        if (!short || length >= mostPickle) throw error
      }
    }
  }
  const magic = next()
  if (magic !== MAGIC) fail('not a file of torch.save')
  if (next() !== 1001) fail('its protocol is not 1001, the only one of files without an archive')
  const system = next()
  if (!(system instanceof Dict) || system.map.get('little_endian') !== true) fail('its numbers are not little-endian')
  const value = next()
  const keys = next()
  if (!Array.isArray(keys)) return fail('it lacks the list of its storages')
  const places = new Map<string, Place>()
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined
    if (!storage?.type || places.has(key as string)) return fail('its list of storages is not that of its tensors')
    if (at + 8 > size) fail('it ends within its storages')
    const count = Number(new DataView(readAt(fd, at, new Uint8Array(8), path).buffer).getBigInt64(0, true))
    const bytes = count * ((storedTypes.get(storage.type) as StoredType).bits / 8)
    if (!(count >= 0 && at + 8 + bytes <= size)) fail('it ends within its storages: the file is cut short')
    places.set(key as string, { offset: at + 8, bytes })
    at += 8 + bytes
  }
  return { value, placeOf: ({ key }) => places.get(key) ?? fail(`it lacks the storage ${JSON.stringify(key)}`) }
}

/** A tensor in its file where its elements lie there one after another, else an array that gathers them. */
function placed(
  key: string,
  { storage, type, offset, shape, strides }: StoredTensor,
  placeOf: (storage: Storage) => Place,
  file: string,
  stamp: string,
  fail: Fail,
): NdArray | FileTensor {
  const { bits, dtype, decode } = storedTypes.get(type) as StoredType
  const width = bits / 8
  const place = placeOf(storage)
  const size = sizeOf(shape)
  const last = size === 0 ? -1 : shape.reduce((sum, axis, i) => sum + (axis - 1) * (strides[i] as number), 0)
  const begin = (storage.first + offset) * width
  if (!Number.isSafeInteger(size) || !(begin + (last + 1) * width <= place.bytes)) {
    fail(
      `tensor ${JSON.stringify(key)}: [${shape.join(', ')}] with strides [${strides.join(', ')}] from element ${offset} lies beyond its storage`,
    )
  }
  if (size > Math.max(place.bytes / width, mostExpanded))
    fail(`tensor ${JSON.stringify(key)} has ${size} elements, far more than its storage`)
  const own = (shape: readonly number[]): NdArray | FileTensor => {
    const stored: FileTensor = { dtype, shape, file, offset: place.offset + begin, stamp }
    return decode === undefined ? stored : converted(key, type, stored)
  }
  if (size === 0 || isContiguous(shape, strides)) return own(shape)
  return lazyArray(dtype, shape, () => gathered(readTensor(own([last + 1])), shape, strides).data)
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false
    step *= shape[i] as number
  }
  return true
}

/** Elements in the order of the shape from where the strides say. */
function gathered(flat: NdArray, shape: readonly number[], strides: readonly number[]): NdArray {
  const out = NdArray.zeros(shape, flat.dtype)
  const index = shape.map(() => 0)
  let from = 0
  for (let i = 0; i < out.size; i++) {
    out.data[i] = flat.data[from] as never
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis] as number
      index[axis] = (index[axis] as number) + 1
      if ((index[axis] as number) < (shape[axis] as number)) break
      from -= (strides[axis] as number) * (shape[axis] as number)
      index[axis] = 0
    }
  }
  return out
}
