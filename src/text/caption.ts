import { htmlText, ofWindows, unescapeHtml, unescapeSure } from './caption-html.ts'
import { checkLength } from './errors.ts'

/** Python's classes of characters: letters and digits of any script, digits, blanks. */
const [letter, digit, blank] = ['\\p{L}\\p{N}_', '\\p{Nd}', '\\p{White_Space}\\x1c-\\x1f']

/** A regular expression with Python's meaning of `\w`, `\d`, `\s`, `\b` and `$`, for all matches. */
function python(source: string): RegExp {
  let inClass = false
  const translated = source.replace(/\\.|[[\]$]/gs, (token) => {
    if (token === '[' || token === ']') {
      inClass = token === '['
      return token
    }
    const set = { '\\w': letter, '\\d': digit, '\\s': blank }[token]
    if (set) return inClass ? set : `[${set}]`
    if (token === '\\S') return `[^${blank}]`
    if (token === '\\D') return `[^${digit}]`
    if (token === '\\b') return `(?:(?<=[${letter}])(?![${letter}])|(?<![${letter}])(?=[${letter}]))`
    return token === '$' && !inClass ? '(?=\\n?$)' : token
  })
  return new RegExp(translated, 'gu')
}

const strip = (text: string) =>
  text.replace(new RegExp(`^[${blank}]+`, 'u'), '').replace(new RegExp(`(?<![${blank}])[${blank}]+$`, 'u'), '')

/** A caption in small letters, without blanks at its ends: as models that clean captions take them where they are not cleaned. */
export const plainCaption = (text: string): string => strip(text.toLowerCase())

type Rule = readonly [pattern: RegExp, to: string]

const ending = '(?:com|co|ru|net|org|edu|gov|it)'
const files = '(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)'
const address = (scheme: string) =>
  python(`\\b((?:${scheme}:(?:/{1,3}|[a-zA-Z0-9%])|(?<![a-zA-Z0-9][.-]*)[a-zA-Z0-9.-]+[.]${ending}[\\w/-]*\\b/?(?!@)))`)

/** Addresses of pages. */
const addresses: readonly Rule[] = [
  [address('https?'), ''],
  [address('www'), ''],
]

/** Names, ideographs, kinds of dashes and quotes, numbers, names of files, and marks. */
const marks: readonly Rule[] = [
  [python('@[\\w\\d]+\\b'), ''],
  [/[\u31c0-\u31ff\u3200-\u9fff]+/gu, ''],
  [
    /[\u002d\u058a\u05be\u1400\u1806\u2010-\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u301c\u3030\u30a0\ufe31\ufe32\ufe58\ufe63\uff0d]+/gu,
    '-',
  ],
  [/[`´«»“”¨]/gu, '"'],
  [/[‘’]/gu, "'"],
  [/&quot;?/gu, ''],
  [/&amp/gu, ''],
  [python('\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}'), ' '],
  [python('\\d:\\d\\d\\s+$'), ''],
  [/\\n/gu, ' '],
  [python('#\\d{1,3}\\b'), ''],
  [python('#\\d{5,}\\b'), ''],
  [python('\\b\\d{6,}\\b'), ''],
  [python(`(?<!\\S)\\S+\\.${files}`), ''],
  [/["']{2,}/gu, '"'],
  [/\.{2,}/gu, ' '],
  [/[#®•©™&@·º½¾¿¡§~)(\][}{|\\/*]+/gu, ' '],
  [python('(?<!\\s)\\s+\\.\\s+'), ' '],
]

/** Codes of articles, words of shops, and blanks. */
const shops: readonly Rule[] = [
  [python('\\b[a-zA-Z]{1,3}\\d{3,15}\\b'), ''],
  [python('\\b[a-zA-Z]+\\d+[a-zA-Z]+\\b'), ''],
  [python('\\b\\d+[a-zA-Z]+\\d+\\b'), ''],
  [python('(worldwide\\s+)?(free\\s+)?shipping'), ''],
  [python('(free\\s)?download(\\sfree)?'), ''],
  [python('\\bclick\\b\\s(?:for|on)\\s\\w+'), ''],
  [python(`\\b${files}(\\simage[s]?)?`), ''],
  [python('\\bpage\\s+\\d+\\b'), ''],
  [python('\\b\\d*[a-zA-Z]+\\d+[a-zA-Z]+\\d+[a-zA-Z\\d]*\\b'), ' '],
  [python('\\b\\d+\\.?\\d*[xх×]\\d+\\.?\\d*\\b'), ''],
  [python('\\b\\s+:\\s+'), ': '],
  [python('(\\D[,./])\\b'), '$1 '],
  [python('\\s+'), ' '],
]

/** Quotes and marks at the ends of all of it. */
const ends: readonly Rule[] = [
  [/^["'](.+)["'](?=\n?$)/su, '$1'],
  [/^['_,\-:;]/u, ''],
  [/['_,\-:+](?=\n?$)/u, ''],
  [new RegExp(`^\\.[^${blank}]+(?=\\n?$)`, 'u'), ''],
]

const apply = (text: string, rules: readonly Rule[]) => rules.reduce((found, [pattern, to]) => found.replace(pattern, to), text)

/**
 * A caption as DeepFloyd's IF, PixArt and Latte were trained on them, by the rules of diffusers' `_clean_caption` with Beautiful Soup and
 * ftfy, which are applied twice. Text in a wrong encoding is not repaired, as ftfy would.
 *
 * @throws PromptError beyond 32,000 characters
 */
export function cleanCaption(text: string): string {
  checkLength(text)
  return cleanedOnce(cleanedOnce(text))
}

function cleanedOnce(text: string): string {
  let caption = strip(unquoted(text)).toLowerCase().replaceAll('<person>', 'person')
  caption = apply(htmlText(apply(caption, addresses)), marks)
  if ((caption.match(/[-_]/g) ?? []).length > 3) caption = caption.replace(/[-_]/g, ' ')
  caption = unescapeHtml(unescapeHtml(fixed(caption)))
  return strip(apply(apply(caption, shops), ends))
}

/** `+` is a blank and %41 an A, as in addresses; bytes that are no UTF-8 become U+FFFD. */
const unquoted = (text: string) =>
  text
    .replaceAll('+', ' ')
    .replace(/(?:%[0-9a-f]{2})+/gi, (bytes) =>
      new TextDecoder('utf-8', { ignoreBOM: true }).decode(
        Uint8Array.from(bytes.slice(1).split('%'), (hex) => Number.parseInt(hex, 16)),
      ),
    )

const ligatures: Readonly<Record<string, string>> = {
  ...{ Ĳ: 'IJ', ĳ: 'ij', ŉ: 'ʼn', Ǳ: 'DZ', ǲ: 'Dz', ǳ: 'dz', Ǆ: 'DŽ', ǅ: 'Dž', ǆ: 'dž', Ǉ: 'LJ', ǈ: 'Lj', ǉ: 'lj' },
  ...{ Ǌ: 'NJ', ǋ: 'Nj', ǌ: 'nj', ﬀ: 'ff', ﬁ: 'fi', ﬂ: 'fl', ﬃ: 'ffi', ﬄ: 'ffl', ﬅ: 'ſt', ﬆ: 'st' },
}
const ligature = new RegExp(`[${Object.keys(ligatures).join('')}]`, 'gu')
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what goes
const controls = /[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g

/** What ftfy's `fix_text` does besides repairing encodings: line by line, until nothing changes. */
function fixed(text: string): string {
  // Once a line has a tag's beginning, references in it and after it are left.
  let references = true
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      references &&= !line.includes('<')
      let found = line
      for (let before = ''; before !== found; ) {
        before = found
        found = (references ? unescapeSure(found) : found)
          .replace(/[\x80-\x9f]/g, (one) => ofWindows(one.charCodeAt(0)))
          .replace(ligature, (one) => ligatures[one] as string)
          .replace(/[\u3000\uff01-\uffef]/g, (one) => (one === '\u3000' ? ' ' : one.normalize('NFKC')))
          .replace(/[“-‟]/g, '"')
          .replace(/[ʼ‘-‛]/g, "'")
          .replace(/\r\n|[\r\u2028\u2029\x85]/g, '\n')
          // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences that colour a terminal
          .replace(/\x1b\[((?:\d|;)*)([a-zA-Z])/g, '')
          .replace(controls, '')
          .normalize('NFC')
      }
      return found
    })
    .join('')
}

/** Names of characters as the characters, in what was mended of a wrong encoding. */
export const unescapeText = (text: string): string => unescapeHtml(unescapeHtml(fixed(text)))
