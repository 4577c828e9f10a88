import { ArgumentError } from '../core/errors.ts'
import type { Generator } from '../runtime/random.ts'
import { checkLength, maxPrompt, PromptError } from './errors.ts'

/** What `__name__` stands for: the lines of `name.txt` in the wildcards' folders of other programs. */
export type Wildcards = Readonly<Record<string, readonly string[]>>

/** Choices that one prompt may hold, those within lists included. */
const maxChoices = 1000
/** Lists that may name lists, which name lists … */
const maxNesting = 20

const opening = /\\[{}|_\\]|\{|__[\p{L}\p{N}/-]+(?:_[\p{L}\p{N}/-]+)*__/gu
const weightMark = /^\s*(\d+(?:\.\d*)?|\.\d+)::/

/**
 * A prompt with its choices made: `{red|green|2::blue}` is one of the three (blue twice as often), `{2$$a|b|c}` two of them joined by
 * a comma, `__colour__` a line of the list of that name, which may hold choices itself. `\{` is text. The same generator state makes
 * the same choices.
 *
 * @throws PromptError for a list that is not there, lists that name each other without end, and results beyond 32,000 characters
 */
export function expandWildcards(prompt: string, lists: Wildcards, generator: Generator): string {
  checkLength(prompt)
  let choices = 0
  const count = () => {
    choices++
    if (choices > maxChoices)
      throw new PromptError(`the prompt makes more than ${maxChoices} choices: do its lists name each other?`)
  }
  const expand = (text: string, depth: number): string => {
    if (depth > maxNesting) throw new PromptError(`the prompt's lists name lists more than ${maxNesting} deep`)
    let out = ''
    let at = 0
    opening.lastIndex = 0
    for (let match = opening.exec(text); match; match = opening.exec(text)) {
      const [token] = match
      out += text.slice(at, match.index)
      at = match.index + token.length
      if (token.startsWith('\\')) out += token
      else if (token === '{') {
        const end = closing(text, at)
        if (end < 0) out += token
        else {
          count()
          out += chosen(text.slice(at, end), generator, (one) => expand(one, depth + 1))
          at = end + 1
        }
      } else {
        count()
        out += expand(draw(listOf(token.slice(2, -2), lists), generator), depth + 1)
      }
      if (out.length > maxPrompt) throw new PromptError(`the prompt's choices make more than ${maxPrompt} characters`)
      opening.lastIndex = at
    }
    return out + text.slice(at)
  }
  const expanded = expand(prompt, 0).replaceAll(/\\([{}])/g, '$1')
  checkLength(expanded)
  return expanded
}

function listOf(name: string, lists: Wildcards): readonly string[] {
  const list = Object.hasOwn(lists, name) ? lists[name] : undefined
  if (list !== undefined && list.length > 0) return list
  const known = Object.keys(lists).slice(0, 20).join(', ') || 'none'
  throw new PromptError(`__${name}__: ${list ? 'an empty list' : 'no such list'}; lists: ${known}. Write \\__${name}__ for text`)
}

/** Where the brace opened before `from` closes, or −1. */
function closing(text: string, from: number): number {
  let depth = 1
  for (let i = from; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '{') depth++
    else if (text[i] === '}' && --depth === 0) return i
  }
  return -1
}

/** Alternatives at the top level of what stands in braces. */
function alternatives(inside: string): string[] {
  const out = ['']
  let depth = 0
  for (let i = 0; i < inside.length; i++) {
    const char = inside[i] as string
    if (char === '\\') out[out.length - 1] += char + (inside[++i] ?? '')
    else if (char === '|' && depth === 0) out.push('')
    else {
      if (char === '{') depth++
      if (char === '}') depth--
      out[out.length - 1] += char
    }
  }
  return out
}

function chosen(inside: string, generator: Generator, expand: (text: string) => string): string {
  const many = /^\s*(\d+)(?:-(\d+))?\$\$(?:([^|$]*)\$\$)?/.exec(inside)
  const options = alternatives(many ? inside.slice(many[0].length) : inside).map((option) => {
    const weight = weightMark.exec(option)
    return { text: weight ? option.slice(weight[0].length) : option, weight: weight ? Number(weight[1]) : 1 }
  })
  if (!many) return expand(pick(options, generator).text)
  const [low, high] = [Number(many[1]), Number(many[2] ?? many[1])]
  if (low > high) throw new PromptError(`{${inside.slice(0, 40)}}: from ${low} to ${high} is no range`)
  const number = Math.min(options.length, low + Math.floor(uniform(generator) * (high - low + 1)))
  const left = [...options]
  const taken = Array.from({ length: number }, () => {
    const one = pick(left, generator)
    left.splice(left.indexOf(one), 1)
    return one.text
  })
  return taken.map(expand).join(many[3] ?? ', ')
}

function pick<T extends { readonly weight: number }>(options: readonly T[], generator: Generator): T {
  const total = options.reduce((sum, { weight }) => sum + weight, 0)
  if (!(total > 0) || !Number.isFinite(total)) throw new PromptError('a choice whose weights are all 0 chooses nothing')
  let rest = uniform(generator) * total
  const found = options.find(({ weight }) => {
    rest -= weight
    return rest < 0
  })
  return found ?? (options.findLast(({ weight }) => weight > 0) as T)
}

const draw = (list: readonly string[], generator: Generator) => list[Math.floor(uniform(generator) * list.length)] as string

const uniform = (generator: Generator): number => generator.rand([1]).data[0] as number

/**
 * The lines of a list's file: empty ones and those that begin with # are left out.
 *
 * @throws ArgumentError for a file without any
 */
export function wildcardLines(text: string, place: string): string[] {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (lines.length === 0) throw new ArgumentError(`${place}: a list without lines`)
  return lines
}
