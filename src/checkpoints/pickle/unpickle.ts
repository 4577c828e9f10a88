import { type Fail, globalOf, reduce, storage } from './globals.ts'
import { Dict, Inert, type Storage, StoredTensor, Tuple, type Value } from './values.ts'

const MARK = Symbol('mark')
type Item = Value | typeof MARK

/** Opcodes that are known and that no state dict needs, for errors. */
const refused: Readonly<Record<number, string>> = {
  40: 'MARK',
  105: 'INST',
  111: 'OBJ',
  80: 'PERSID',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
  146: 'NEWOBJ_EX',
  151: 'NEXT_BUFFER',
  152: 'READONLY_BUFFER',
}

/**
 * Reads one pickle by the few opcodes of Python's protocol 2 to 5 that a state dict is written with. It makes numbers, texts, lists,
 * tuples, dicts and descriptions of tensors; names are looked up in a short table (`globals.ts`), and nothing is ever imported or called.
 *
 * @param storages takes every storage that the pickle refers to, by key
 * @returns the value, and where the pickle ends
 * @param fail throws: told why the bytes are no such pickle
 */
export function unpickle(
  bytes: Uint8Array,
  start: number,
  fail: Fail,
  storages?: Map<string, Storage>,
): { value: Value; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const stack: Item[] = []
  const memo = new Map<number, Value>()
  let at = start
  const need = (length: number): number => {
    if (!(length >= 0) || at + length > bytes.length) fail(`it ends at byte ${bytes.length}, ${length} bytes are wanted at ${at}`)
    at += length
    return at - length
  }
  const u8 = () => view.getUint8(need(1))
  const u16 = () => view.getUint16(need(2), true)
  const u32 = () => view.getUint32(need(4), true)
  const u64 = () => Number(view.getBigUint64(need(8), true))
  const slice = (length: number) => {
    const from = need(length)
    return bytes.subarray(from, from + length)
  }
  const text = (length: number) => new TextDecoder().decode(slice(length))
  const latin = (length: number) => slice(length).reduce((text, byte) => text + String.fromCharCode(byte), '')
  const line = (): string => {
    const end = bytes.indexOf(10, at)
    if (end < 0) fail('a line that does not end')
    const from = at
    at = end + 1
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(from, end))
  }
  const pop = (): Value => {
    const value = stack.pop()
    return value === undefined || value === MARK ? fail(`the stack is empty at byte ${at}`) : value
  }
  const top = (): Value => {
    const value = stack.at(-1)
    return value === undefined || value === MARK ? fail(`the stack is empty at byte ${at}`) : value
  }
  const marked = (): Value[] => {
    const from = stack.lastIndexOf(MARK)
    if (from < 0) return fail(`no mark at byte ${at}`)
    return stack.splice(from).slice(1) as Value[]
  }
  const many = (count: number): Value[] => Array.from({ length: count }, pop).reverse()
  const name = (value: Value): string => (typeof value === 'string' ? value : fail('a name that is no text'))
  const setItems = (items: readonly Value[]) => {
    const to = top()
    if (items.length % 2) fail('a key without a value')
    if (to instanceof Inert) return
    if (!(to instanceof Dict)) fail('items for what is no dict')
    for (let i = 0; i < items.length; i += 2) (to as Dict).map.set(items[i], items[i + 1] as Value)
  }
  const append = (items: readonly Value[]) => {
    const to = top()
    if (to instanceof Inert) return
    if (!Array.isArray(to)) return fail('items for what is no list')
    for (const item of items) to.push(item)
  }
  const long = (length: number): Value => {
    if (length > 1024) fail(`an integer of ${length} bytes`)
    let value = 0n
    for (const byte of slice(length).toReversed()) value = (value << 8n) | BigInt(byte)
    if (length > 0) value = BigInt.asIntN(8 * length, value)
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  }
  const push = (value: Item) => stack.push(value)
  const steps: Record<number, () => unknown> = {
    128: () => u8() > 5 && fail(`protocol ${view.getUint8(at - 1)}, where 5 is the last`),
    149: () => need(8),
    40: () => push(MARK),
    48: () => stack.pop() === undefined && fail(`the stack is empty at byte ${at}`),
    49: marked,
    50: () => push(top()),
    78: () => push(null),
    136: () => push(true),
    137: () => push(false),
    74: () => push(view.getInt32(need(4), true)),
    75: () => push(u8()),
    77: () => push(u16()),
    138: () => push(long(u8())),
    139: () => push(long(u32())),
    71: () => push(view.getFloat64(need(8), false)),
    140: () => push(text(u8())),
    88: () => push(text(u32())),
    141: () => push(text(u64())),
    85: () => push(latin(u8())),
    84: () => push(latin(u32())),
    67: () => push(slice(u8())),
    66: () => push(slice(u32())),
    142: () => push(slice(u64())),
    150: () => push(slice(u64())),
    41: () => push(new Tuple([])),
    133: () => push(new Tuple(many(1))),
    134: () => push(new Tuple(many(2))),
    135: () => push(new Tuple(many(3))),
    116: () => push(new Tuple(marked())),
    93: () => push([]),
    108: () => push(marked()),
    97: () => append([pop()]),
    101: () => append(marked()),
    125: () => push(new Dict()),
    115: () => setItems(many(2)),
    117: () => setItems(marked()),
    143: () => push(new Inert('set')),
    144: () => marked() && top() instanceof Inert,
    145: () => marked() && push(new Inert('frozenset')),
    99: () => push(globalOf(line(), line(), fail)),
    147: () => {
      const own = pop()
      push(globalOf(name(pop()), name(own), fail))
    },
    82: () => {
      const args = pop()
      push(reduce(pop(), args, fail))
    },
    129: () => {
      const args = pop()
      push(reduce(pop(), args, fail))
    },
    // The state of a dict is its `_metadata`; of a tensor, hooks.
    98: () => {
      pop()
      const to = top()
      if (!(to instanceof Dict || to instanceof Inert || to instanceof StoredTensor)) fail('a state for what is no dict')
    },
    113: () => memo.set(u8(), top()),
    114: () => memo.set(u32(), top()),
    148: () => memo.set(memo.size, top()),
    104: () => push(known(u8())),
    106: () => push(known(u32())),
    81: () => {
      const found = storage(pop(), fail)
      storages?.set(found.key, found)
      push(found)
    },
  }
  const known = (index: number): Value => {
    const value = memo.get(index)
    return value === undefined ? fail(`nothing was remembered as ${index}`) : value
  }
  for (;;) {
    const code = u8()
    if (code === 0x2e) {
      const value = pop()
      return { value, end: at }
    }
    const step = Object.hasOwn(steps, code) ? steps[code] : undefined
    if (!step) fail(`opcode ${refused[code] ?? `0x${code.toString(16)}`} at byte ${at - 1}, which no state dict needs`)
    else step()
  }
}
