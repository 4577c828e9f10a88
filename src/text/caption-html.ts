import { decodeHTML, decodeHTMLStrict } from 'entities'

/** What Windows has at 0x80–0x9f, where Unicode has controls. */
const windows = new TextDecoder('windows-1252')
export const ofWindows = (code: number): string => windows.decode(Uint8Array.of(code))

const isInvalid = (code: number) =>
  (code >= 1 && code <= 8) ||
  (code >= 0xe && code <= 0x1f) ||
  (code >= 0x7f && code <= 0x9f) ||
  (code >= 0xfdd0 && code <= 0xfdef) ||
  code === 0xb ||
  (code & 0xfffe) === 0xfffe

/** The character of a numeric reference, by the rules of HTML as Python's `html.unescape` has them. */
function ofNumber(code: number): string {
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return '\ufffd'
  if (code >= 0x80 && code <= 0x9f) return ofWindows(code)
  return isInvalid(code) ? '' : String.fromCodePoint(code)
}

const numberOf = (reference: string): number => {
  const digits = reference.replace(/;$/, '')
  return /^x/i.test(digits) ? Number.parseInt(digits.slice(1), 16) : Number.parseInt(digits, 10)
}

/** References to characters in a text, also those that no semicolon ends: Python's `html.unescape`. */
export const unescapeHtml = (text: string): string =>
  text.replace(/&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/g, (all, reference: string) =>
    reference.startsWith('#') ? ofNumber(numberOf(reference.slice(1))) : decodeHTML(all),
  )

/** Only references that a semicolon ends, and capitals for small letters: what ftfy takes for no accident. */
export const unescapeSure = (text: string): string =>
  text.replace(/&#?[0-9A-Za-z]{1,24};/g, (all) => {
    if (all.startsWith('&#')) {
      const found = /^&#([0-9]+|[xX][0-9a-fA-F]+);$/.test(all) ? ofNumber(numberOf(all.slice(2))) : all
      return found.includes(';') ? all : found
    }
    const found = decodeHTMLStrict(all)
    if (found !== all) return found
    const small = all === all.toUpperCase() ? decodeHTMLStrict(all.toLowerCase()) : all
    return small === all.toLowerCase() || small === all ? all : small.toUpperCase()
  })

const space = /[\s]/
/** Their text is none of the page's. */
const hidden = new Set(['script', 'style', 'template', 'rt', 'rp'])
const raw = new Set(['script', 'style'])
const empty = new Set(
  'area base basefont bgsound br col command embed frame hr image img input isindex keygen link menuitem meta nextid param source spacer track wbr'.split(
    ' ',
  ),
)

/**
 * The text of a piece of HTML, as Beautiful Soup gives it by Python's `html.parser`: tags, comments and what is in scripts go, and
 * references become characters. What only looks like a tag, as `a < b`, stays.
 */
export function htmlText(html: string): string {
  let out = ''
  /** Nothing ends behind it: what begins there is text, and need not be looked through. */
  const lastEnd = html.lastIndexOf('>')
  /** Open elements whose text is hidden. */
  const inside: string[] = []
  let rawElement: string | undefined
  const say = (text: string) => {
    if (inside.length === 0) out += text
  }
  const open = (name: string, closed: boolean) => {
    if (closed || empty.has(name) || !hidden.has(name)) return
    inside.push(name)
    if (raw.has(name)) rawElement = name
  }
  const close = (name: string) => {
    const at = inside.lastIndexOf(name)
    if (at >= 0) inside.length = at
    rawElement = undefined
  }

  /** Where the tag, comment or declaration at i ends: −1 where it does not, i where there is none. */
  function markup(i: number): number {
    const next = html[i + 1] ?? ''
    if (i > lastEnd) return /[a-zA-Z/?!]/.test(next) ? -1 : i
    if (/[a-zA-Z]/.test(next)) return startTag(i)
    if (next === '/') return endTag(i)
    if (html.startsWith('<!--', i)) {
      const end = /--\s*>/g
      end.lastIndex = i + 4
      const match = end.exec(html)
      return match ? match.index + match[0].length : -1
    }
    if (next !== '?' && next !== '!') return i
    const end = html.indexOf('>', i + 2)
    return end < 0 ? -1 : end + 1
  }
  function startTag(i: number): number {
    const name = (/^[a-zA-Z][^\t\n\r\f />\0]*/.exec(html.slice(i + 1, i + 200)) as RegExpExecArray)[0]
    let at = i + 1 + name.length
    while (at < html.length) {
      while (at < html.length && (space.test(html[at] as string) || html[at] === '/')) at++
      if (html[at] === '>') {
        open(name.toLowerCase(), html[at - 1] === '/')
        return at + 1
      }
      while (at < html.length && !/[\s/=>]/.test(html[at] as string)) at++
      const before = at
      while (at < html.length && space.test(html[at] as string)) at++
      if (html[at] !== '=') {
        at = Math.max(before, at)
        continue
      }
      while (at < html.length && (html[at] === '=' || space.test(html[at] as string))) at++
      const quote = html[at]
      if (quote === '"' || quote === "'") {
        const end = html.indexOf(quote, at + 1)
        if (end < 0) return -1
        at = end + 1
      } else while (at < html.length && !/[\s>]/.test(html[at] as string)) at++
    }
    return -1
  }
  function endTag(i: number): number {
    const end = html.indexOf('>', i + 2)
    if (end < 0) return -1
    const name = /^\s*([a-zA-Z][^\t\n\r\f />\0]*)/.exec(html.slice(i + 2, end))?.[1]?.toLowerCase()
    if (rawElement !== undefined && name !== rawElement) return i
    if (name !== undefined) close(name)
    return end + 1
  }
  /** A reference at i: what it stands for and where it ends. */
  function reference(i: number): readonly [text: string, end: number] | undefined {
    const ahead = html.slice(i, i + 64)
    const number = /^&#([0-9]+|[xX][0-9a-fA-F]+)([^0-9a-fA-F])/.exec(ahead)
    if (number) return [ofNumber(numberOf(number[1] as string)), i + 2 + (number[1] as string).length + Number(number[2] === ';')]
    const named = /^&([a-zA-Z][-.a-zA-Z0-9]*)([^a-zA-Z0-9])/.exec(ahead)
    if (!named) return undefined
    const name = named[1] as string
    const found = decodeHTMLStrict(`&${name};`)
    return [found === `&${name};` ? `&${name}` : found, i + 1 + name.length + Number(named[2] === ';')]
  }

  for (let i = 0; i < html.length; ) {
    if (html[i] === '<') {
      const end = rawElement !== undefined && html[i + 1] !== '/' ? i : markup(i)
      if (end > i) {
        i = end
        continue
      }
      // What never ends is text, up to where something else may begin.
      const gt = end < 0 ? html.indexOf('>', i + 1) : -1
      const lt = end < 0 ? html.indexOf('<', i + 1) : -1
      const to = end === i ? i + 1 : gt >= 0 ? gt + 1 : lt >= 0 ? lt : i + 1
      say(html.slice(i, to))
      i = to
    } else if (html[i] === '&' && rawElement === undefined) {
      const found = reference(i)
      say(found ? found[0] : '&')
      i = found ? found[1] : i + 1
    } else {
      const rest = html.slice(i + 1).search(/[<&]/)
      const to = rest < 0 ? html.length : i + 1 + rest
      say(html.slice(i, to))
      i = to
    }
  }
  return out
}
