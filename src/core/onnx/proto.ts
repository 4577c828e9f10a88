import { Writer } from 'protobufjs/minimal.js'

/*
 * The messages of onnx.proto (ONNX IR version 10) that a traced network needs, by their field numbers there. Written field by
 * field: protobufjs's reflection would compile code from strings, which a Content-Security-Policy forbids.
 */

export interface OnnxNode {
  input: string[]
  output: string[]
  name: string
  opType: string
  domain: string
  attribute: OnnxAttributeProto[]
}
export type OnnxAttributeProto = { name: string } & (
  | { type: 1; f: number }
  | { type: 2; i: number }
  | { type: 3; s: Uint8Array }
  | { type: 7; ints: number[] }
)
export interface OnnxTensor {
  name: string
  dims: number[]
  dataType: number
  rawData?: Uint8Array
  externalData?: { key: string; value: string }[]
  dataLocation?: number
}
export interface OnnxValue {
  name: string
  type: { tensorType: { elemType: number; shape: { dim: { dimValue: number }[] } } }
}
export interface OnnxModel {
  irVersion: number
  producerName: string
  opsetImport: { domain: string; version: number }[]
  graph: { name: string; node: OnnxNode[]; initializer: OnnxTensor[]; input: OnnxValue[]; output: OnnxValue[] }
}

const [VARINT, LENGTH, FIXED32] = [0, 2, 5]

const integer = (w: Writer, field: number, value: number) => w.uint32((field << 3) | VARINT).int64(value)
const string = (w: Writer, field: number, value: string) => w.uint32((field << 3) | LENGTH).string(value)
const bytes = (w: Writer, field: number, value: Uint8Array) => w.uint32((field << 3) | LENGTH).bytes(value)
const float = (w: Writer, field: number, value: number) => w.uint32((field << 3) | FIXED32).float(value)

/** A message within a message: its length goes before it. */
function message<T>(w: Writer, field: number, value: T, write: (w: Writer, value: T) => void): void {
  w.uint32((field << 3) | LENGTH).fork()
  write(w, value)
  w.ldelim()
}

function integers(w: Writer, field: number, values: readonly number[]): void {
  if (values.length === 0) return
  w.uint32((field << 3) | LENGTH).fork()
  for (const value of values) w.int64(value)
  w.ldelim()
}

function writeModel(w: Writer, { irVersion, producerName, graph, opsetImport }: OnnxModel): void {
  integer(w, 1, irVersion)
  string(w, 2, producerName)
  message(w, 7, graph, writeGraph)
  for (const opset of opsetImport) message(w, 8, opset, writeOpset)
}

function writeOpset(w: Writer, { domain, version }: OnnxModel['opsetImport'][number]): void {
  string(w, 1, domain)
  integer(w, 2, version)
}

function writeGraph(w: Writer, { node, name, initializer, input, output }: OnnxModel['graph']): void {
  for (const one of node) message(w, 1, one, writeNode)
  string(w, 2, name)
  for (const tensor of initializer) message(w, 5, tensor, writeTensor)
  for (const value of input) message(w, 11, value, writeValue)
  for (const value of output) message(w, 12, value, writeValue)
}

function writeNode(w: Writer, { input, output, name, opType, attribute, domain }: OnnxNode): void {
  for (const operand of input) string(w, 1, operand)
  for (const result of output) string(w, 2, result)
  string(w, 3, name)
  string(w, 4, opType)
  for (const one of attribute) message(w, 5, one, writeAttribute)
  string(w, 7, domain)
}

function writeAttribute(w: Writer, attribute: OnnxAttributeProto): void {
  string(w, 1, attribute.name)
  if (attribute.type === 1) float(w, 2, attribute.f)
  else if (attribute.type === 2) integer(w, 3, attribute.i)
  else if (attribute.type === 3) bytes(w, 4, attribute.s)
  else integers(w, 8, attribute.ints)
  integer(w, 20, attribute.type)
}

function writeTensor(w: Writer, { dims, dataType, name, rawData, externalData, dataLocation }: OnnxTensor): void {
  integers(w, 1, dims)
  integer(w, 2, dataType)
  string(w, 8, name)
  if (rawData) bytes(w, 9, rawData)
  for (const entry of externalData ?? []) message(w, 13, entry, writeEntry)
  if (dataLocation !== undefined) integer(w, 14, dataLocation)
}

function writeEntry(w: Writer, { key, value }: { key: string; value: string }): void {
  string(w, 1, key)
  string(w, 2, value)
}

function writeValue(w: Writer, { name, type: { tensorType } }: OnnxValue): void {
  string(w, 1, name)
  // TypeProto, its tensor type, the shape, a dimension: each a message of its own.
  message(w, 2, tensorType, (w, tensor) =>
    message(w, 1, tensor, (w, { elemType, shape }) => {
      integer(w, 1, elemType)
      message(w, 2, shape, (w, { dim }) => {
        for (const one of dim) message(w, 1, one, (w, { dimValue }) => integer(w, 1, dimValue))
      })
    }),
  )
}

/** A model as the bytes of an ONNX file. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const writer = Writer.create()
  writeModel(writer, model)
  return writer.finish()
}
