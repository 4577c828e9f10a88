/** A token that is matched whole in a text. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  /** Matched in the text as it is normalised, not as it is written. */
  readonly normalized: boolean
  /** White space before it, and behind it, belongs to it. */
  readonly lstrip: boolean
  readonly rstrip: boolean
  /** Not within a word. */
  readonly single: boolean
}

/** A stretch of a text, or the number of the added token that stands there. */
export type Stretch = string | number

/** Cuts added tokens out of a text: the first match, of several there the longest, as the reference does. */
export function addedTokens(tokens: readonly AddedToken[]): (text: string) => Stretch[] {
  if (tokens.length === 0) return (text) => [text]
  const known = new Map(tokens.map((token) => [token.content, token]))
  const longestFirst = [...known.keys()].sort((a, b) => b.length - a.length)
  const pattern = new RegExp(longestFirst.map((content) => content.replace(/[$()*+./?[\\\]^{|}-]/g, '\\$&')).join('|'), 'gu')
  return (text) => {
    const found: Stretch[] = []
    let from = 0
    for (const match of text.matchAll(pattern)) {
      const token = known.get(match[0]) as AddedToken
      let start = match.index
      let end = start + match[0].length
      if (token.single && (wordBefore.test(text.slice(0, start)) || wordBehind.test(text.slice(end)))) continue
      if (token.lstrip) start = Math.max(from, text.slice(0, start).search(blankBefore))
      if (token.rstrip) end += blankBehind.exec(text.slice(end))?.[0].length ?? 0
      if (start > from) found.push(text.slice(from, start))
      found.push(token.id)
      from = end
    }
    if (from < text.length) found.push(text.slice(from))
    return found
  }
}

const wordBefore = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u
const wordBehind = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u
const blankBefore = /\p{White_Space}*$/u
const blankBehind = /^\p{White_Space}*/u
