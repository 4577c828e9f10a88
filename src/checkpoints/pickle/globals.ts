import { Dict, Global, Inert, Storage, StoredTensor, Tuple, type Value } from './values.ts'

/** Why a pickle's value cannot be, and what to do, where it is not to convert the file. */
export type Fail = (reason: string, remedy?: string) => never

/** PyTorch's storages, by the format's name of their elements. */
const storages: Readonly<Record<string, string | undefined>> = {
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  DoubleStorage: 'F64',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
  ComplexFloatStorage: 'C64',
}

const dtypes: Readonly<Record<string, string>> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  float64: 'F64',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
  bool: 'BOOL',
  complex64: 'C64',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
  float8_e4m3fnuz: 'F8_E4M3FNUZ',
  float8_e5m2fnuz: 'F8_E5M2FNUZ',
  float8_e8m0fnu: 'F8_E8M0',
}

/** Names beside a state dict in files of training: their values say nothing of the weights and become nothing. */
const inert = new Set([
  'torch.device',
  'numpy.dtype',
  'numpy.core.multiarray.scalar',
  'numpy._core.multiarray.scalar',
  '_codecs.encode',
  'pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint',
  'lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint',
  'builtins.set',
  '__builtin__.set',
])

const containers = new Set(['collections.OrderedDict', 'builtins.dict', '__builtin__.dict'])
const rebuilds: Readonly<Record<string, (args: readonly Value[], fail: Fail) => Value>> = {
  'torch._utils._rebuild_tensor': ([storage, offset, size, stride], fail) =>
    tensor(storage, offset, size, stride, undefined, fail),
  'torch._utils._rebuild_tensor_v2': ([storage, offset, size, stride], fail) =>
    tensor(storage, offset, size, stride, undefined, fail),
  'torch._utils._rebuild_tensor_v3': ([storage, offset, size, stride, , , dtype], fail) =>
    tensor(storage, offset, size, stride, dtype, fail),
  'torch._utils._rebuild_parameter': ([data], fail) =>
    data instanceof StoredTensor ? data : fail('a parameter without a tensor'),
  'torch._utils._rebuild_parameter_with_state': ([data], fail) =>
    data instanceof StoredTensor ? data : fail('a parameter without a tensor'),
  'torch._tensor._rebuild_from_type_v2': ([func, , args], fail) => reduce(func ?? null, args ?? null, fail),
}

const isDtype = (name: string) => name.startsWith('torch.') && Object.hasOwn(dtypes, name.slice(6))
const storageName = (name: string) => /^torch\.(?:storage\.)?(\w+Storage)$/.exec(name)?.[1]

/** A name of a pickle, where a state dict may need it. */
export function globalOf(module: string, name: string, fail: Fail): Global {
  const full = `${module}.${name}`
  const storage = storageName(full)
  const known =
    containers.has(full) ||
    inert.has(full) ||
    full === 'torch.Size' ||
    full === 'torch.Tensor' ||
    full === 'torch.nn.parameter.Parameter' ||
    Object.hasOwn(rebuilds, full) ||
    isDtype(full) ||
    (storage !== undefined && (storage === 'UntypedStorage' || Object.hasOwn(storages, storage)))
  if (known) return new Global(full)
  if (/^(torch\.nn\.modules|dall_e)\./.test(full))
    return fail(`it holds a whole network, ${full}, in place of its weights`, ofNetwork)
  if (full.startsWith('__torch__.')) return fail('it is a TorchScript program', ofProgram)
  return fail(`it refers to ${full}, which no state dict needs`)
}

/** The same of a program, as OpenAI's files of CLIP are. */
const ofProgram =
  "If you trust whoever made it, write its weights in Python: torch.save(torch.jit.load(path, map_location='cpu').state_dict(), 'weights.pt')"

/** How the weights of a network that was saved whole, as OpenAI's two of DALL·E, come into a file of their own. */
const ofNetwork =
  "Where its classes are installed (OpenAI's: pip install DALL-E), and if you trust whoever made the file, write its weights in Python: " +
  "torch.save(torch.load(path, weights_only=False, map_location='cpu').state_dict(), 'weights.pt')"

/** What calling a name with these arguments stands for, worked out here: nothing of Python's runs. */
export function reduce(func: Value, args: Value, fail: Fail): Value {
  if (!(func instanceof Global)) return fail(func instanceof Inert ? `it calls ${func.name}` : 'it calls what is no name')
  if (!(args instanceof Tuple)) return fail(`${func.name} is given no tuple`)
  const { name } = func
  if (containers.has(name)) return dict(args.items[0], fail)
  if (name === 'torch.Size')
    return args.items[0] instanceof Tuple || Array.isArray(args.items[0])
      ? new Tuple(listOf(args.items[0]))
      : fail('torch.Size of no tuple')
  const rebuild = Object.hasOwn(rebuilds, name) ? rebuilds[name] : undefined
  if (rebuild) return rebuild(args.items, fail)
  return inert.has(name) ? new Inert(name) : fail(`it calls ${name}, which no state dict needs`)
}

const listOf = (value: Value | undefined): readonly Value[] => (value instanceof Tuple ? value.items : (value as Value[]))

function dict(pairs: Value | undefined, fail: Fail): Dict {
  const out = new Dict()
  if (pairs === undefined) return out
  if (!Array.isArray(pairs)) return fail('an OrderedDict of something else than pairs')
  for (const pair of pairs) {
    const items = pair instanceof Tuple ? pair.items : Array.isArray(pair) ? pair : []
    if (items.length !== 2) return fail('an OrderedDict of something else than pairs')
    out.map.set(items[0], items[1] as Value)
  }
  return out
}

/** A storage that a persistent id names: ('storage', type, key, device, size[, view]). */
export function storage(id: Value, fail: Fail): Storage {
  const [kind, type, key, , size, view] = id instanceof Tuple ? id.items : []
  const name = type instanceof Global ? storageName(type.name) : undefined
  if (kind !== 'storage' || name === undefined || typeof key !== 'string') return fail('a reference that is no storage')
  const [, first, length] = view instanceof Tuple ? view.items : [undefined, 0, size]
  return new Storage(storages[name], key, natural(length, fail), natural(first, fail))
}

function tensor(
  from: Value | undefined,
  offset: Value | undefined,
  size: Value | undefined,
  stride: Value | undefined,
  dtype: Value | undefined,
  fail: Fail,
) {
  if (!(from instanceof Storage)) return fail('a tensor without a storage')
  const type =
    dtype === undefined ? from.type : dtype instanceof Global && isDtype(dtype.name) ? dtypes[dtype.name.slice(6)] : undefined
  if (type === undefined) return fail('a tensor without a dtype')
  const [shape, strides] = [size, stride].map((axes) => {
    if (!(axes instanceof Tuple || Array.isArray(axes))) return fail('a tensor whose shape or strides are no tuple')
    return listOf(axes).map((axis) => natural(axis, fail))
  }) as [number[], number[]]
  if (shape.length !== strides.length || shape.length > 64)
    return fail(`a tensor with ${shape.length} axes and ${strides.length} strides`)
  return new StoredTensor(from, type, natural(offset, fail), shape, strides)
}

function natural(value: Value | undefined, fail: Fail): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
    ? value
    : fail(`${typeof value === 'number' ? value : typeof value} where a size must be`)
}
