import { checkDepth, checkLength } from './errors.ts'

/** A run of a prompt with its weight, or the place where the next chunk of tokens begins. */
export type PromptPart = { readonly kind: 'text'; readonly text: string; readonly weight: number } | { readonly kind: 'break' }

/** How a prompt says what weighs more: not at all, as AUTOMATIC1111's web UI does, as compel does. */
export type PromptSyntax = 'plain' | 'a1111' | 'compel'

/**
 * A prompt cut into runs of one weight.
 *
 * `a1111`: (x) ×1.1, [x] ÷1.1, (x:1.3) ×1.3, nested ones multiply; \( \) \[ \] are text; BREAK between spaces begins a new chunk;
 * a bracket that is never closed holds to the end. `compel`: word++ and (some words)++ ×1.1 a sign, -- ×0.9, (some words)1.3.
 *
 * @throws PromptError beyond 32,000 characters or 100 brackets deep
 */
export function parsePrompt(text: string, syntax: PromptSyntax): PromptPart[] {
  checkLength(text)
  const parts = new Parts()
  if (syntax === 'plain') parts.text(text)
  else if (syntax === 'a1111') readA1111(text, parts)
  else readCompel(text, parts)
  return parts.merged()
}

/** Runs in the making; a weight given later multiplies all from a place on. */
class Parts {
  private readonly runs: (PromptPart & { weight: number; text: string })[] = []

  get length(): number {
    return this.runs.length
  }

  text(text: string, weight = 1): void {
    if (text !== '') this.runs.push({ kind: 'text', text, weight })
  }

  break(): void {
    this.runs.push({ kind: 'break' } as never)
  }

  scale(from: number, factor: number): void {
    for (let i = from; i < this.runs.length; i++) (this.runs[i] as { weight: number }).weight *= factor
  }

  insert(at: number, text: string): void {
    this.runs.splice(at, 0, { kind: 'text', text, weight: 1 })
  }

  /** Neighbours of one weight as one run; one empty run for an empty prompt. */
  merged(): PromptPart[] {
    const out: PromptPart[] = []
    for (const run of this.runs) {
      const last = out.at(-1)
      if (run.kind === 'break') out.push({ kind: 'break' })
      else if (last?.kind === 'text' && last.weight === run.weight) {
        out[out.length - 1] = { ...last, text: last.text + run.text }
      } else out.push({ kind: 'text', text: run.text, weight: run.weight })
    }
    return out.length > 0 ? out : [{ kind: 'text', text: '', weight: 1 }]
  }
}

const a1111Tokens = /\\[\\()[\]]|\\|[([)\]]|:\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*\)|[^\\()[\]:]+|:/g

function readA1111(text: string, parts: Parts): void {
  const open: { bracket: string; from: number }[] = []
  const close = (bracket: string, factor: number): boolean => {
    const at = open.findLastIndex((one) => one.bracket === bracket)
    if (at < 0) return false
    for (const { from } of open.splice(at, 1)) parts.scale(from, factor)
    return true
  }
  for (const [token, weight] of text.matchAll(a1111Tokens)) {
    if (token === '(' || token === '[') {
      open.push({ bracket: token, from: parts.length })
      checkDepth(open.length)
    } else if (token.length === 2 && token.startsWith('\\')) parts.text(token.slice(1))
    else if (weight !== undefined && close('(', Number(weight))) continue
    else if (token === ')' && close('(', 1.1)) continue
    else if (token === ']' && close('[', 1 / 1.1)) continue
    else
      for (const [i, run] of token.split(/\bBREAK\b/).entries()) {
        if (i > 0) parts.break()
        parts.text(run)
      }
  }
  for (const { bracket, from } of open) parts.scale(from, bracket === '(' ? 1.1 : 1 / 1.1)
}

const compelTokens = /\\[\\()+-]|[()]|([\p{L}\p{N}_'’]+)(\++|-+)(?![\p{L}\p{N}_+-])|[\p{L}\p{N}_'’]+|[^\\()\p{L}\p{N}_'’]+|\\/gu
const compelWeight = /\++|-+(?![\p{L}\p{N}])|\d+(?:\.\d+)?|/uy

function readCompel(text: string, parts: Parts): void {
  const open: number[] = []
  const factor = (sign: string) => (sign.startsWith('+') ? 1.1 : 0.9) ** sign.length
  let done = 0
  for (const { 0: token, 1: word, 2: sign, index } of text.matchAll(compelTokens)) {
    if (index < done) {
      // The weight behind a bracket was read with it; what the same token holds beyond is text.
      parts.text(token.slice(done - index))
    } else if (token === '(') {
      open.push(parts.length)
      checkDepth(open.length)
    } else if (token === ')' && open.length > 0) {
      compelWeight.lastIndex = index + 1
      const weight = compelWeight.exec(text)?.[0] ?? ''
      if (weight !== '') parts.scale(open.at(-1) as number, /\d/.test(weight) ? Number(weight) : factor(weight))
      open.pop()
      done = index + 1 + weight.length
    } else if (word !== undefined && sign !== undefined) parts.text(word, factor(sign))
    else parts.text(token.length === 2 && token.startsWith('\\') ? token.slice(1) : token)
  }
  // What is never closed is text.
  for (const at of open.reverse()) parts.insert(at, '(')
}

/** A LoRA that a prompt names. */
export interface PromptLora {
  readonly name: string
  readonly weight: number
}

/** `<lora:name:0.8>` taken out of a prompt; without a weight it is 1. */
export function takeLoras(text: string): { text: string; loras: PromptLora[] } {
  checkLength(text)
  const loras: PromptLora[] = []
  const rest = text.replace(/<lora:([^:<>]+)(?::([+-]?(?:\d+(?:\.\d*)?|\.\d+)))?>/g, (_, name: string, weight?: string) => {
    loras.push({ name: name.trim(), weight: weight === undefined ? 1 : Number(weight) })
    return ''
  })
  return { text: rest, loras }
}
