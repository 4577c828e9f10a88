/**
 * Whether a safetensors file is legal, decided apart from the reader: by `JSON.parse`, and by the text around the strings for what
 * `JSON.parse` lets pass.
 */
export function legal(file: Uint8Array): boolean {
  if (file.length < 8) return false
  const length = new DataView(file.buffer, file.byteOffset).getBigUint64(0, true)
  if (length > 100_000_000n || 8 + Number(length) > file.length) return false
  let header: Record<string, unknown>
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(file.subarray(8, 8 + Number(length)))
    header = JSON.parse(text)
  } catch {
    return false
  }
  const string = /"(?:[^"\\]|\\.)*"/g
  const bare = text.replace(string, '""')
  if (!text.startsWith('{') || !/^[{}[\],:\d\s"]*$/.test(bare)) return false
  if (members(header) !== bare.split(':').length - 1) return false
  if (!(text.match(string) ?? []).every((literal) => JSON.parse(literal).isWellFormed())) return false
  const { __metadata__: metadata = {}, ...tensors } = header
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) return false
  const ours = { F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8, BOOL: 1, U8: 1 }
  const widths: Record<string, number> = {
    ...ours,
    F64: 8,
    I16: 2,
    U16: 2,
    I8: 1,
    U32: 4,
    U64: 8,
    F8_E4M3: 1,
    F8_E5M2: 1,
    F4: 0.5,
    C64: 8,
  }
  const spans: [number, number][] = []
  for (const tensor of Object.values(tensors)) {
    if (!isRecord(tensor) || Object.keys(tensor).sort().join() !== 'data_offsets,dtype,shape') return false
    const { dtype, shape, data_offsets: offsets } = tensor
    const isNaturals = (value: unknown): value is number[] => Array.isArray(value) && value.every((n) => Number.isSafeInteger(n))
    if (typeof dtype !== 'string' || !Object.hasOwn(widths, dtype) || !isNaturals(shape) || !isNaturals(offsets)) return false
    const steps = shape.map((_, i) => shape.slice(0, i + 1).reduce((a, b) => a * b, widths[dtype]!))
    if (shape.length > 64 || offsets.length !== 2 || !steps.every(Number.isSafeInteger)) return false
    const [begin, end] = offsets as [number, number]
    if (end - begin !== (steps.at(-1) ?? widths[dtype])) return false
    spans.push([begin, end])
  }
  spans.sort(([a, b], [c, d]) => a - c || b - d)
  const last = spans.reduce((at, [begin, end]) => (begin === at ? end : NaN), 0)
  return last === file.length - 8 - Number(length)
}

/** Members of all objects inside a value. */
function members(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const inner = Object.values(value).map(members)
  return inner.reduce((a, b) => a + b, Array.isArray(value) ? 0 : inner.length)
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
