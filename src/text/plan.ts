import { ArgumentError } from '../core/errors.ts'
import { Generator } from '../runtime/random.ts'
import { type CompelPrompt, parseCompel } from './compel.ts'
import { parseEditing, promptAt, splitAnd } from './editing.ts'
import { type PromptLora, type PromptPart, type PromptSyntax, parsePrompt, takeLoras } from './emphasis.ts'
import { checkLength } from './errors.ts'
import { expandWildcards, type Wildcards } from './wildcards.ts'

export interface PlanOptions {
  /** `a1111` unless given. */
  readonly syntax?: PromptSyntax
  /** With lists, even none, `__name__` and `{a|b}` are choices; without, they are text. */
  readonly wildcards?: Wildcards | undefined
  /** Of those choices; 0 unless given. */
  readonly seed?: number | bigint
}

/** One of several prompts that act together: its guided difference counts with this weight. */
export interface PromptBranch {
  readonly weight: number
  /** Whether it is another at another step. */
  readonly changes: boolean
  /** The runs of a step, counted from 0, of so many. */
  at(step: number, steps: number): readonly PromptPart[]
  /** With `compel`: what is blended or joined, instead of `at`'s runs. */
  readonly compel?: CompelPrompt
}

/** A prompt's whole meaning. */
export interface PromptPlan {
  /** The prompt with its choices made, as a picture's settings keep it. */
  readonly text: string
  /** `<lora:name:weight>`, in order. */
  readonly loras: readonly PromptLora[]
  /** One, or several if the prompt holds AND. */
  readonly branches: readonly PromptBranch[]
}

/**
 * Reads a prompt: choices, LoRAs, AND, editing, emphasis, BREAK, in this order, as AUTOMATIC1111's web UI; or compel's syntax; or
 * nothing at all (`plain`).
 *
 * @throws PromptError beyond 32,000 characters, 100 brackets deep, or for choices that do not end
 */
export function planPrompt(prompt: string, { syntax = 'a1111', wildcards, seed = 0 }: PlanOptions = {}): PromptPlan {
  checkLength(prompt)
  const text = wildcards === undefined ? prompt : expandWildcards(prompt, wildcards, new Generator(seed).fork('wildcards'))
  if (syntax === 'plain') return { text, loras: [], branches: [fixed(parsePrompt(text, 'plain'))] }
  const { text: rest, loras } = takeLoras(text)
  if (syntax === 'compel') {
    const compel = parseCompel(rest)
    return { text, loras, branches: [{ ...fixed(compel.kind === 'runs' ? compel.parts : []), compel }] }
  }
  const parts = splitAnd(rest)
  // A number at the end is a weight among several prompts; of one alone it is text, as in "16:9".
  if (parts.length === 1) return { text, loras, branches: [edited(rest)] }
  return { text, loras, branches: parts.map(({ text: one, weight }) => ({ ...edited(one), weight })) }
}

const fixed = (parts: readonly PromptPart[]): PromptBranch => ({ weight: 1, changes: false, at: () => parts })

function edited(text: string): PromptBranch {
  const nodes = parseEditing(text)
  const changes = nodes.some(({ kind }) => kind !== 'text')
  const read = new Map<string, readonly PromptPart[]>()
  return {
    weight: 1,
    changes,
    at(step, steps) {
      if (!Number.isInteger(step) || step < 0 || !(steps >= 1))
        throw new ArgumentError(`a prompt has no step ${step} of ${steps}`)
      const now = promptAt(nodes, step, steps)
      const known = read.get(now) ?? parsePrompt(now, 'a1111')
      read.set(now, known)
      return known
    },
  }
}

/** The stretches of steps in which a branch stays the same: its states need to be made once for each. */
export function promptStretches(
  branch: PromptBranch,
  steps: number,
): { readonly from: number; readonly parts: readonly PromptPart[] }[] {
  const out: { from: number; parts: readonly PromptPart[] }[] = []
  for (let step = 0; step < steps; step++) {
    const parts = branch.at(step, steps)
    if (out.at(-1)?.parts !== parts) out.push({ from: step, parts })
  }
  return out
}
