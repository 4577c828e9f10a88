import protobuf from 'protobufjs'

/** The messages of onnx.proto (ONNX IR version 10) that a traced network needs, by their field numbers there. */
const schema = {
  ModelProto: {
    irVersion: [1, 'int64'],
    producerName: [2, 'string'],
    graph: [7, 'GraphProto'],
    opsetImport: [8, 'repeated OperatorSetIdProto'],
  },
  OperatorSetIdProto: { domain: [1, 'string'], version: [2, 'int64'] },
  GraphProto: {
    node: [1, 'repeated NodeProto'],
    name: [2, 'string'],
    initializer: [5, 'repeated TensorProto'],
    input: [11, 'repeated ValueInfoProto'],
    output: [12, 'repeated ValueInfoProto'],
  },
  NodeProto: {
    input: [1, 'repeated string'],
    output: [2, 'repeated string'],
    name: [3, 'string'],
    opType: [4, 'string'],
    attribute: [5, 'repeated AttributeProto'],
    domain: [7, 'string'],
  },
  AttributeProto: {
    name: [1, 'string'],
    f: [2, 'float'],
    i: [3, 'int64'],
    s: [4, 'bytes'],
    floats: [7, 'repeated float'],
    ints: [8, 'repeated int64'],
    type: [20, 'int32'],
  },
  TensorProto: {
    dims: [1, 'repeated int64'],
    dataType: [2, 'int32'],
    name: [8, 'string'],
    rawData: [9, 'bytes'],
    externalData: [13, 'repeated StringStringEntryProto'],
    dataLocation: [14, 'int32'],
  },
  StringStringEntryProto: { key: [1, 'string'], value: [2, 'string'] },
  ValueInfoProto: { name: [1, 'string'], type: [2, 'TypeProto'] },
  TypeProto: { tensorType: [1, 'TensorTypeProto'] },
  TensorTypeProto: { elemType: [1, 'int32'], shape: [2, 'TensorShapeProto'] },
  TensorShapeProto: { dim: [1, 'repeated DimensionProto'] },
  DimensionProto: { dimValue: [1, 'int64'] },
} as const

const root = new protobuf.Root()
for (const [name, fields] of Object.entries(schema)) {
  const message = new protobuf.Type(name)
  for (const [field, [id, type]] of Object.entries(fields) as [string, readonly [number, string]][]) {
    const repeated = type.startsWith('repeated ')
    message.add(new protobuf.Field(field, id, type.replace('repeated ', ''), repeated ? 'repeated' : 'optional'))
  }
  root.add(message)
}
const Model = root.lookupType('ModelProto')

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

export const encodeModel = (model: OnnxModel): Uint8Array => Model.encode(model).finish()
