/** A text file's content, or why it is none. */
export type Decoded =
  | { readonly text: string; readonly fault?: undefined }
  | { readonly fault: string; readonly text?: undefined }

/**
 * UTF-8, with or without a byte order mark, and UTF-16 with one. Other encodings are refused rather than guessed: half of them would read
 * without an error as something else.
 */
export function decodeText(bytes: Uint8Array): Decoded {
  const starts = (...values: number[]) => values.every((value, i) => bytes[i] === value)
  if (starts(0xff, 0xfe) || starts(0xfe, 0xff)) {
    const [name, label] = starts(0xff, 0xfe) ? ['utf-16le', 'UTF-16 (little-endian)'] : ['utf-16be', 'UTF-16 (big-endian)']
    try {
      return { text: new TextDecoder(name, { fatal: true }).decode(bytes) }
    } catch {
      return { fault: `starts as ${label} and is not; save it as UTF-8` }
    }
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (text.includes('\0')) return { fault: 'not UTF-8: it holds zero bytes, as UTF-16 does; save it as UTF-8' }
    return { text }
  } catch {
    const line = lineOfFault(bytes)
    return { fault: `not UTF-8 (line ${line}; Latin-1 or another encoding); save it as UTF-8` }
  }
}

/** The line in which the first byte stands that is not UTF-8. */
function lineOfFault(bytes: Uint8Array): number {
  let [from, line] = [0, 1]
  for (let i = 0; i <= bytes.length; i++) {
    if (i < bytes.length && bytes[i] !== 0x0a) continue
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(from, i))
    } catch {
      return line
    }
    ;[from, line] = [i + 1, line + 1]
  }
  return line
}

/** Rows of a CSV file (RFC 4180) with the line each starts in; an unclosed quote is its fault. */
export function parseCsv(text: string): { rows: { line: number; fields: string[] }[]; fault?: { line: number; reason: string } } {
  const rows: { line: number; fields: string[] }[] = []
  let [at, line] = [0, 1]
  while (at < text.length) {
    const row = { line, fields: [] as string[] }
    for (;;) {
      let field = ''
      if (text[at] === '"') {
        for (at++; ; at++) {
          if (at >= text.length) return { rows, fault: { line: row.line, reason: 'a quote that is never closed' } }
          if (text[at] === '"' && text[++at] !== '"') break
          if (text[at] === '\n') line++
          field += text[at]
        }
      }
      while (at < text.length && text[at] !== ',' && text[at] !== '\n') field += text[at++]
      row.fields.push(field.replace(/\r$/, ''))
      if (text[at] !== ',') break
      at++
    }
    at++
    line++
    if (row.fields.length > 1 || row.fields[0] !== '') rows.push(row)
  }
  return { rows }
}
