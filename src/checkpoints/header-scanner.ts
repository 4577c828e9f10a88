import { quote, SafetensorsError } from './errors.ts'
import { isEscaped } from './json.ts'

/** All that a number, right or wrong, is written with. */
const numeral = /[-+.\w]*/y

/**
 * A cursor over a header. `JSON.parse` keeps the last of two equal keys without a word and rounds integers above 2^53, so the
 * header's small grammar is read here. Nothing nests, so nothing recurses.
 */
export class Scanner {
  readonly #text: string
  readonly #file: string
  #at = 0

  constructor(text: string, file: string) {
    this.#text = text
    this.#file = file
  }

  #fail(reason: string, tensor?: string): never {
    throw new SafetensorsError(this.#file, `${reason} (character ${this.#at} of the header)`, { tensor })
  }

  /** The next character that is not white space; '' at the end. */
  #peek(): string {
    for (; ; this.#at++) {
      const c = this.#text[this.#at]
      if (c !== ' ' && c !== '\n' && c !== '\r' && c !== '\t') return c ?? ''
    }
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false
    this.#at++
    return true
  }

  #expect(char: string, tensor?: string): void {
    if (!this.#take(char)) this.#fail(`expected '${char}', got ${quote(this.#peek())}`, tensor)
  }

  /** `{ key: value, … }`; `member` reads the value that belongs to the key. */
  object(member: (key: string) => void, tensor?: string): void {
    this.#expect('{', tensor)
    if (this.#take('}')) return
    const seen = new Set<string>()
    do {
      const key = this.string('a key')
      if (seen.has(key)) this.#fail(`duplicate key ${quote(key)}`, tensor)
      seen.add(key)
      this.#expect(':', tensor)
      member(key)
    } while (this.#take(','))
    this.#expect('}', tensor)
  }

  string(what: string): string {
    if (this.#peek() !== '"') this.#fail(`${what} must be a string`)
    let close = this.#at
    do close = this.#text.indexOf('"', close + 1)
    while (close >= 0 && isEscaped(this.#text, close))
    if (close < 0) this.#fail(`${what}: the string does not end`)
    let value: string
    try {
      value = JSON.parse(this.#text.slice(this.#at, close + 1))
    } catch {
      return this.#fail(`${what}: a string with a bad escape or a raw control character`)
    }
    if (!value.isWellFormed()) this.#fail(`${what}: a string with half a surrogate pair`)
    this.#at = close + 1
    return value
  }

  /** `[n, n, …]` of integers from 0 to 2^53 − 1, at most `most` of them. */
  naturals(what: string, tensor: string, most: number): number[] {
    this.#expect('[', tensor)
    const values: number[] = []
    if (this.#take(']')) return values
    do {
      if (values.length === most) this.#fail(`${what}: more than ${most} numbers`, tensor)
      values.push(this.#natural(what, tensor))
    } while (this.#take(','))
    this.#expect(']', tensor)
    return values
  }

  #natural(what: string, tensor: string): number {
    this.#peek()
    numeral.lastIndex = this.#at
    const token = numeral.exec(this.#text)?.[0] ?? ''
    if (!/^(0|[1-9]\d{0,15})$/.test(token) || !Number.isSafeInteger(Number(token))) {
      this.#fail(`${what}: expected integers from 0 to 2^53 − 1, got ${quote(token || this.#peek())}`, tensor)
    }
    this.#at += token.length
    return Number(token)
  }

  end(): void {
    const next = this.#peek()
    if (next) this.#fail(`${quote(next)} after the end of the header`)
  }
}
