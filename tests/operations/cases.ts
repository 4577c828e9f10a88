import * as core from '../../src/core/index.ts'
import { type Tensor, where } from '../../src/core/index.ts'
import { gate } from '../../src/core/ops/elementwise.ts'
import { build } from '../../src/core/tensor.ts'

/** Traces one case from its inputs. */
export type Draw = (...inputs: Tensor[]) => Tensor
type Group = Readonly<Record<string, Draw>>

/*
 * One list of cases for every suite: finite differences, PyTorch's numbers, WebGPU, export. A group is named by the
 * operation that its cases apply, or by a function that is made of operations. The inputs, and what PyTorch makes of
 * them, are written by parity/operations.py under the same names.
 */

type Unary =
  | 'neg'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'abs'
  | 'tanh'
  | 'sigmoid'
  | 'erf'
  | 'sin'
  | 'cos'
  | 'sign'
  | 'floor'
  | 'round'
  | 'silu'
const unary = (name: Unary, ...kinds: string[]): Group =>
  Object.fromEntries(kinds.map((kind) => [kind, (x: Tensor) => x[name]()]))

const arithmetic = (name: 'add' | 'sub' | 'mul'): Group => ({
  'same shape': (x, y) => x[name](y!),
  'both broadcast': (x, y) => x[name](y!),
  outer: (x, y) => x[name](y!),
  'a scalar tensor': (x, y) => x[name](y!),
  'a number': (x) => x[name](2.5),
  'with itself': (x) => x[name](x),
  i64: (x, y) => x[name](y!),
  i32: (x, y) => x[name](y!),
})

const extreme = (name: 'maximum' | 'minimum'): Group => ({
  'same shape': (x, y) => x[name](y!.add(0.05)),
  broadcast: (x, y) => x[name](y!.add(0.05)),
  ties: (x, y) => x[name](y!),
  i64: (x, y) => x[name](y!),
})

const comparison = (name: 'eq' | 'lt' | 'le' | 'gt' | 'ge'): Group => ({
  f32: (x, y) => x[name](y!),
  broadcast: (x, y) => x[name](y!),
  'a number': (x) => x[name](1),
  i64: (x, y) => x[name](y!),
  i32: (x, y) => x[name](y!),
  nan: (x, y) => x[name](y!),
})

const reduction = (name: 'sum' | 'mean'): Group => ({
  all: (x) => x[name](),
  'middle axis': (x) => x[name](1),
  'last axis kept': (x) => x[name](-1, true),
  'two axes': (x) => x[name]([0, 2]),
  'outer axes of four': (x) => x[name]([0, 2, -1]),
  'an axis of one': (x) => x[name](1),
  long: (x) => x[name](1),
})

const reduceExtreme = (name: 'max' | 'min'): Group => ({
  all: (x) => x[name](),
  'middle axis': (x) => x[name](1),
  'two axes kept': (x) => x[name]([0, 2], true),
  ties: (x) => x[name](-1),
  i64: (x) => x[name](1),
  nan: (x) => x[name](1),
  infinities: (x) => x[name](1),
})

const alongAxis = (name: 'softmax' | 'logSoftmax'): Group => ({
  'last axis': (x) => x[name](),
  'first axis': (x) => x[name](0),
  'middle axis': (x) => x[name](1),
  large: (x) => x.mul(300)[name](),
  masked: (x) => x[name](),
})

/** Padding before and after each axis. */
const pairs = (...each: (readonly [number, number])[]) => each

const conv =
  (options: core.WindowOptions = {}): Draw =>
  (x, weight, bias) =>
    core.conv(x, weight!, bias ? { ...options, bias } : options)

const transposed =
  (options: Parameters<typeof core.convTranspose>[2] = {}): Draw =>
  (x, weight) =>
    core.convTranspose(x, weight!, options)

/** The operations behind the gradients of `conv`, with the attributes that they take. */
const attrs = (stride: number, dilation: number, padding: number, groups: number) => ({
  stride: [stride, stride],
  dilation: [dilation, dilation],
  before: [padding, padding],
  after: [padding, padding],
  groups,
})

const pool = (of: typeof core.avgPool): Group => ({
  tiles: (x) => of(x, 2),
  'tiles with a rest': (x) => of(x, 2),
  overlapping: (x) => of(x, 3, { stride: 2 }),
  padded: (x) => of(x, 3, { stride: 2, padding: 1 }),
  'shifted tiles': (x) => of(x, 4, { padding: 1 }),
  asymmetric: (x) => of(x, 3, { stride: [1, 2], padding: pairs([1, 0], [0, 2]) }),
  oblong: (x) => of(x, [1, 3], { stride: [2, 1] }),
  gaps: (x) => of(x, 2, { stride: 3 }),
  '1D': (x) => of(x, 3, { stride: 2, padding: 1 }),
  '3D': (x) => of(x, 2),
  '3D overlapping': (x) => of(x, [1, 3, 2], { stride: [1, 2, 1] }),
  dilated: (x) => of(x, 3, { stride: 1, dilation: 2 }),
})

const attention =
  (options: Parameters<typeof core.attention>[3]): Draw =>
  (q, k, v, mask) =>
    core.attention(q, k!, v!, { ...options, ...(mask ? { mask } : {}) })

const resizes = (mode: 'nearest' | 'bilinear'): Group => ({
  [`${mode} twice`]: (x) => core.resize(x, [8, 6], mode),
  [`${mode} up to odd sizes`]: (x) => core.resize(x, [7, 11], mode),
  [`${mode} to half`]: (x) => core.resize(x, [4, 3], mode),
  [`${mode} down to odd sizes`]: (x) => core.resize(x, [3, 5], mode),
  [`${mode} up and down`]: (x) => core.resize(x, [9, 3], mode),
  [`${mode} from one`]: (x) => core.resize(x, [3, 4], mode),
  [`${mode} to one`]: (x) => core.resize(x, [1, 1], mode),
  [`${mode} rounded`]: (x) => core.resize(x, [82, 174], mode),
})

export const groups: Readonly<Record<string, Group>> = {
  neg: unary('neg', 'matrix', 'i64'),
  exp: unary('exp', 'matrix', 'extremes'),
  log: unary('log', 'positive'),
  sqrt: unary('sqrt', 'positive'),
  abs: unary('abs', 'matrix', 'at zero', 'i32'),
  tanh: unary('tanh', 'matrix', 'extremes'),
  sigmoid: unary('sigmoid', 'matrix', 'extremes', 'far tail'),
  erf: unary('erf', 'matrix'),
  sin: unary('sin', 'matrix'),
  cos: unary('cos', 'matrix'),
  sign: unary('sign', 'matrix', 'at zero'),
  floor: unary('floor', 'matrix'),
  round: unary('round', 'matrix', 'halves'),
  silu: unary('silu', 'matrix', 'wide'),
  add: arithmetic('add'),
  sub: arithmetic('sub'),
  mul: arithmetic('mul'),
  div: {
    'same shape': (x, y) => x.div(y!),
    'both broadcast': (x, y) => x.div(y!),
    'by a number': (x) => x.div(3),
    i64: (x, y) => x.div(y!),
  },
  pow: {
    'same shape': (x, y) => x.pow(y!),
    broadcast: (x, y) => x.pow(y!),
    'cube of negatives': (x) => x.pow(3),
    'a root': (x) => x.pow(0.5),
    'at zero': (x, y) => x.pow(y!),
  },
  maximum: extreme('maximum'),
  minimum: extreme('minimum'),
  relu: { matrix: (x) => x.relu(), 'at zero': (x) => x.relu(), i32: (x) => x.relu() },
  softplus: { matrix: (x) => x.softplus(), extremes: (x) => x.softplus(), 'far tail': (x) => x.softplus() },
  logSigmoid: { matrix: (x) => x.logSigmoid(), 'far tail': (x) => x.logSigmoid() },
  gate: { matrix: (x) => build(gate, [x]) },
  clip: {
    'inside and outside': (x) => x.clip(-0.5, 1),
    'at the bounds': (x) => x.clip(-1, 1),
    i64: (x) => x.clip(-2, 3),
  },
  eq: { ...comparison('eq'), bool: (x, y) => x.eq(y!), u8: (x, y) => x.eq(y!) },
  lt: comparison('lt'),
  le: comparison('le'),
  gt: comparison('gt'),
  ge: comparison('ge'),
  and: { broadcast: (x, y) => x.and(y!) },
  or: { broadcast: (x, y) => x.or(y!) },
  not: { matrix: (x) => x.not() },
  where: {
    'same shape': (c, x, y) => where(c, x!, y!),
    'condition broadcasts': (c, x, y) => where(c, x!, y!),
    'values broadcast': (c, x, y) => where(c, x!, y!),
    i64: (c, x, y) => where(c, x!, y!),
    bool: (c, x, y) => where(c, x!, y!),
    'an infinite branch': (x) => where(x.gt(1), x.sub(1).log(), x),
  },
  cast: {
    'f32 to f16': (x) => x.cast('f16'),
    'f32 to bf16 and back': (x) => x.cast('bf16').cast('f32'),
    'f16 to f32': (x) => x.cast('f32'),
    'f16 to bf16 and back': (x) => x.cast('bf16').cast('f16'),
    'f32 to i64': (x) => x.cast('i64'),
    'f32 to i32': (x) => x.cast('i32'),
    'f32 to u8': (x) => x.cast('u8'),
    'f32 to bool': (x) => x.cast('bool'),
    'i64 to f32': (x) => x.cast('f32'),
    'i32 to i64': (x) => x.cast('i64'),
    'i64 to i32': (x) => x.cast('i32'),
    'i32 to f32': (x) => x.cast('f32'),
    'u8 to f32': (x) => x.cast('f32').div(127.5).sub(1),
    'bool to f32': (x) => x.cast('f32'),
    'bool to i64': (x) => x.cast('i64'),
    'through i64': (x) => x.mul(x.cast('i64').cast('f32')),
  },
  stopGradient: { matrix: (x) => x.mul(x.stopGradient()).add(x) },
  leakyRelu: {
    matrix: (x) => x.leakyRelu(0.2),
    'at zero': (x) => x.leakyRelu(0.01),
  },
  gelu: {
    exact: (x) => x.gelu(),
    tanh: (x) => x.gelu('tanh'),
    quick: (x) => x.gelu('quick'),
    wide: (x) => x.gelu(),
    'wide tanh': (x) => x.gelu('tanh'),
  },
  sum: { ...reduction('sum'), i64: (x) => x.sum(1), i32: (x) => x.sum(1) },
  mean: reduction('mean'),
  max: reduceExtreme('max'),
  min: reduceExtreme('min'),
  argmax: { nan: (x) => x.argmax(1), 'last axis': (x) => x.argmax(), 'first axis': (x) => x.argmax(0), i64: (x) => x.argmax(1) },
  cumsum: {
    'first axis': (x) => x.cumsum(0),
    'negative axis': (x) => x.cumsum(-1),
    reverse: (x) => x.cumsum(1, { reverse: true }),
    i64: (x) => x.cumsum(1),
  },
  softmax: alongAxis('softmax'),
  logSoftmax: alongAxis('logSoftmax'),
  reshape: {
    'to matrix': (x) => x.reshape([6, 5]),
    'one left open': (x) => x.reshape([-1, 10]),
    'to scalar': (x) => x.reshape([]),
    i64: (x) => x.reshape([4, 3]),
    'unsqueeze and squeeze': (x) => x.unsqueeze(1).unsqueeze(-1).squeeze(1),
  },
  transpose: {
    matrix: (x) => x.transpose(),
    reversed: (x) => x.transpose(),
    'four axes': (x) => x.transpose(0, 2, 3, 1),
    'negative axes': (x) => x.transpose(-1, 0, 1),
    bool: (x) => x.transpose(),
  },
  expand: {
    'axes of one': (x) => x.expand([3, 4, 5]),
    'new axes': (x) => x.expand([2, 3, 4]),
    'a scalar': (x) => x.expand([2, 3]),
    bool: (x) => x.expand([4, 3]),
  },
  slice: {
    middle: (x) => x.slice(1, 2, 5),
    steps: (x) => x.slice(1, 1, 7, 3),
    'steps that leave a rest': (x) => x.slice(0, 0, 8, 2),
    negative: (x) => x.slice(-1, -3, -1),
    'negative axis and step': (x) => x.slice(-1, -6, undefined, 2),
    'one element': (x) => x.slice(0, 2, 3),
    u8: (x) => x.slice(1, 1, 3),
  },
  flip: { 'last axis': (x) => x.flip(-1), 'first axis': (x) => x.flip(0), i64: (x) => x.flip(0) },
  pad: {
    zeros: (x) => x.pad([0, 1], [3, 2]),
    'a value': (x) => x.pad([2, 1, 0], [1, 0, 2], -1.5),
    'one axis': (x) => x.padAxis(-2, 2, 1),
    i64: (x) => x.pad([1], [2], 7),
    bool: (x) => x.pad([1], [2], 1),
  },
  padBorder: {
    'edge 1D': (x) => core.padBorder(x, [2], [3], 'edge'),
    'edge 2D': (x) => core.padBorder(x, [2, 0], [1, 1], 'edge'),
    'reflect 1D': (x) => core.padBorder(x, [2], [3], 'reflect'),
    'reflect 2D': (x) => core.padBorder(x, [2, 0], [1, 1], 'reflect'),
  },
  concat: {
    rows: (x, y) => core.concat([x, y!], 0),
    'three along the middle': (x, y, z) => core.concat([x, y!, z!], 1),
    'negative axis': (x, y) => core.concat([x, y!], -1),
    'the same twice': (x) => core.concat([x, x.mul(2), x], 0),
    u8: (x, y) => core.concat([x, y!], 0),
  },
  stack: { 'new axis': (x, y) => core.stack([x, y!], 1) },
  split: {
    parts: (x) => {
      const [first, , last] = x.split([2, 1, 4], 1)
      return last!.mul(first!.sum())
    },
  },
  sumTo: { 'broadcast undone': (x) => x.sumTo([3, 1]) },
  gather: {
    'rows with repeats': (x, index) => x.gather(index!, 0),
    'axis 1': (x, index) => x.gather(index!, 1),
    'axis 2': (x, index) => x.gather(index!, 2),
    'axis 2 of four by a matrix': (x, index) => x.gather(index!, -2),
    'an index without axes': (x, index) => x.gather(index!, 1),
    'negative, few rows': (x, index) => x.gather(index!, 0),
    'negative, many rows': (x, index) => x.gather(index!, 0),
    'i32 index': (x, index) => x.gather(index!, 0),
    'u8 values': (x, index) => x.gather(index!, 0),
  },
  embedding: { tokens: (table, index) => core.embedding(table, index!) },
  scatterAdd: {
    rows: (updates, index) => core.scatterRows(updates, index!, 6),
    'many repeats': (updates, index) => core.scatterRows(updates, index!, 3),
    numbers: (updates, index) => core.scatterRows(updates, index!, 4),
    'i32 index': (updates, index) => core.scatterRows(updates, index!, 4),
    negative: (updates, index) => core.scatterRows(updates, index!, 4),
    'onto a tensor': (x, index, updates) => core.scatterAdd(x, index!, updates!),
  },
  matmul: {
    matrices: (x, y) => x.matmul(y!),
    'first transposed': (x, y) => x.matmul(y!, { transA: true }),
    'second transposed': (x, y) => x.matmul(y!, { transB: true }),
    'both transposed': (x, y) => x.matmul(y!, { transA: true, transB: true }),
    batches: (x, y) => x.matmul(y!),
    'batches first transposed': (x, y) => x.matmul(y!, { transA: true }),
    'batches second transposed': (x, y) => x.matmul(y!, { transB: true }),
    'batches both transposed': (x, y) => x.matmul(y!, { transA: true, transB: true }),
    'batches broadcast': (x, y) => x.matmul(y!),
    'batches broadcast transposed': (x, y) => x.matmul(y!, { transA: true, transB: true }),
    'a batch by a matrix': (x, y) => x.matmul(y!),
    'a matrix by a batch transposed': (x, y) => x.matmul(y!, { transA: true, transB: true }),
    'with itself': (x) => x.matmul(x, { transB: true }),
    'a row by a column': (x, y) => x.matmul(y!),
    'i32 second transposed': (x, y) => x.matmul(y!, { transB: true }),
    'i64 batches first transposed': (x, y) => x.matmul(y!, { transA: true }),
  },
  linear: {
    'with bias': (x, weight, bias) => core.linear(x, weight!, bias),
    'without bias': (x, weight) => core.linear(x, weight!),
    'four axes': (x, weight, bias) => core.linear(x, weight!, bias),
  },
  conv: {
    'three by three': conv({ padding: 1 }),
    'with bias': conv({ padding: 1 }),
    'one by one': conv(),
    'stride 2': conv({ stride: 2, padding: 1 }),
    'stride 2 with a rest': conv({ stride: 2, padding: 1 }),
    'padded after only': conv({ stride: 2, padding: pairs([0, 1], [0, 1]) }),
    asymmetric: conv({ stride: [1, 2], padding: pairs([2, 0], [1, 3]) }),
    dilated: conv({ dilation: 2, padding: 2 }),
    'dilated with stride': conv({ dilation: [2, 3], stride: [2, 1], padding: [1, 3] }),
    groups: conv({ groups: 2, padding: 1 }),
    depthwise: conv({ groups: 4, padding: 1, stride: 2 }),
    'even kernel': conv({ padding: 1 }),
    patches: conv({ stride: 4 }),
    'kernel as large as the picture': conv(),
    'wide padding': conv({ padding: 3 }),
    '1D': conv({ padding: 1 }),
    '1D stride dilation groups': conv({ stride: 2, dilation: 2, groups: 3, padding: 2 }),
    '3D': conv({ padding: 1 }),
    '3D stride': conv({ stride: [1, 2, 2], padding: pairs([1, 0], [0, 1], [1, 1]) }),
    '3D wide': conv({ padding: [2, 1, 3], groups: 2, dilation: [1, 2, 1], stride: [2, 1, 1] }),
    '3D with bias': conv({ padding: [0, 1, 1] }),
    blocks: conv({ padding: 1 }),
    'blocks with bias': conv({ padding: 1 }),
    'blocks in rows of 16': conv({ padding: 1 }),
    'blocks in rows of 4': conv({ padding: 1 }),
    'blocks stride 2': conv({ padding: 1, stride: 2 }),
    'blocks stride 2 padded after': conv({ stride: 2, padding: pairs([0, 1], [0, 1]) }),
    'blocks one by one': conv(),
    'blocks dilated': conv({ padding: 2, dilation: 2 }),
    'blocks asymmetric': conv({ padding: pairs([2, 0], [1, 1]) }),
    'blocks wide padding': conv({ padding: 3 }),
    'blocks mixed stride': conv({ padding: 1, stride: [1, 2] }),
  },
  convTranspose: {
    'three by three': transposed({ padding: 1 }),
    'stride 2': transposed({ stride: 2 }),
    'output padding': transposed({ stride: 2, padding: 1, outputPadding: 1 }),
    'output padding 3': transposed({ stride: 4, padding: 2, outputPadding: 3 }),
    asymmetric: transposed({ stride: 2, padding: pairs([1, 0], [0, 2]) }),
    dilated: transposed({ dilation: 2, padding: 1 }),
    groups: transposed({ groups: 2, stride: 2, padding: 1 }),
    depthwise: transposed({ groups: 4, stride: 2 }),
    'stride beyond the kernel': transposed({ stride: 3 }),
    blocks: transposed({ padding: 1 }),
    'blocks stride 2': transposed({ padding: 1, stride: 2 }),
    '1D': transposed({ stride: 2, padding: 1, outputPadding: 1 }),
    '3D': transposed({ stride: [1, 2, 2], padding: [1, 0, 1] }),
  },
  convInputGrad: {
    same: (g, w) => core.convInputGrad(g, w!, [5, 4], attrs(1, 1, 1, 1)),
    'stride with a rest': (g, w) => core.convInputGrad(g, w!, [8, 9], attrs(3, 1, 1, 1)),
    'groups and dilation': (g, w) => core.convInputGrad(g, w!, [7, 6], attrs(1, 2, 1, 2)),
  },
  convWeightGrad: {
    same: (x, g) => core.convWeightGrad(x, g!, [3, 3], attrs(1, 1, 1, 1)),
    'stride with a rest': (x, g) => core.convWeightGrad(x, g!, [3, 3], attrs(3, 1, 1, 1)),
    'groups and dilation': (x, g) => core.convWeightGrad(x, g!, [3, 3], attrs(1, 2, 1, 2)),
    blocks: (x, g) => core.convWeightGrad(x, g!, [3, 3], attrs(1, 1, 1, 1)),
  },
  avgPool: pool(core.avgPool),
  maxPool: { ...pool(core.maxPool), nan: (x) => core.maxPool(x, 2), ties: (x) => core.maxPool(x, 3, { stride: 1, padding: 1 }) },
  upsample: {
    twice: (x) => x.upsample([2, 2]),
    oblong: (x) => x.upsample([3, 2]),
    '1D': (x) => x.upsample([3]),
    '3D': (x) => x.upsample([1, 2, 2]),
    i64: (x) => x.upsample([2, 1]),
    bool: (x) => x.upsample([1, 2]),
  },
  resize: {
    ...resizes('nearest'),
    ...resizes('bilinear'),
    'linear 1D': (x) => core.resize(x, [7], 'bilinear'),
    trilinear: (x) => core.resize(x, [4, 5, 3], 'bilinear'),
  },
  groupNorm: {
    pictures: (x, weight, bias) => core.groupNorm(x, 2, weight!, bias!),
    tokens: (x, weight, bias) => core.groupNorm(x, 4, weight!, bias!, 1e-6),
    'one group': (x, weight, bias) => core.groupNorm(x, 1, weight!, bias!),
    'large epsilon': (x, weight, bias) => core.groupNorm(x, 3, weight!, bias!, 0.5),
    'off centre': (x, weight, bias) => core.groupNorm(x.add(20), 3, weight!, bias!, 1e-6),
    matrix: (x, weight, bias) => core.groupNorm(x, 2, weight!, bias!),
    'as many groups as channels': (x, weight, bias) => core.groupNorm(x, 4, weight!, bias!),
  },
  layerNorm: {
    tokens: (x, weight, bias) => core.layerNorm(x, weight, bias),
    matrix: (x, weight, bias) => core.layerNorm(x, weight, bias, 0.1),
    'without parameters': (x) => core.layerNorm(x, undefined, undefined, 1e-6),
    'without bias': (x, weight) => core.layerNorm(x, weight),
    'off centre': (x) => core.layerNorm(x.add(20), undefined, undefined, 1e-6),
  },
  rmsNorm: {
    tokens: (x, weight) => core.rmsNorm(x, weight, 1e-6),
    'without weight': (x) => core.rmsNorm(x, undefined, 1e-5),
    'large epsilon': (x, weight) => core.rmsNorm(x, weight, 0.5),
  },
  attention: {
    'one head': attention({ heads: 1 }),
    heads: attention({ heads: 3 }),
    'odd head width': attention({ heads: 2 }),
    'other lengths': attention({ heads: 2 }),
    'one key': (q, k, v) => core.attention(q, k!, v!, { heads: 2 }).add(q.mul(k!)),
    'other value width': attention({ heads: 2 }),
    'a scale': attention({ heads: 2, scale: 0.2 }),
    long: attention({ heads: 2 }),
    'mask for all': attention({ heads: 2 }),
    'mask by batch': attention({ heads: 2 }),
    'mask by head': attention({ heads: 2 }),
    'mask by batch and head': attention({ heads: 2 }),
    causal: attention({ heads: 2, causal: true }),
    'causal with mask': attention({ heads: 2, causal: true }),
    'mask of keys': attention({ heads: 2 }),
    'mask of keys by batch and head': attention({ heads: 2, scale: 0.7 }),
    'a query that sees nothing': attention({ heads: 2 }),
    'a picture that sees nothing': attention({ heads: 2 }),
    'causal, and the first key hidden': attention({ heads: 2, causal: true }),
    'self-attention': (x) => core.attention(x, x, x, { heads: 2 }),
  },
}

/**
 * Cases where finite differences mean nothing: the inputs lie on kinks or stairs, the result is infinite or changes
 * faster than a step, or the gradient is stopped. PyTorch's numbers decide there.
 */
export const rough: ReadonlySet<string> = new Set([
  'exp/extremes',
  'logSoftmax/large',
  'softmax/large',
  'cast/f32 to bf16 and back',
  'stopGradient/matrix',
  'sigmoid/extremes',
  'abs/at zero',
  'leakyRelu/at zero',
  'sign/at zero',
  'round/halves',
  'pow/at zero',
  'softplus/extremes',
  'relu/at zero',
  'max/nan',
  'min/nan',
  'max/infinities',
  'min/infinities',
  'maxPool/nan',
  'maximum/ties',
  'minimum/ties',
  'clip/at the bounds',
  'where/an infinite branch',
  'max/ties',
  'min/ties',
  'maxPool/ties',
])
