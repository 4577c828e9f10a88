import { checkDepth, checkLength } from './errors.ts'

/** A prompt that changes from step to step, as data. */
export type PromptNode =
  | { readonly kind: 'text'; readonly text: string }
  /** `[from:to:when]`: `when` below 1 is a share of the steps, else a number of steps. */
  | { readonly kind: 'edit'; readonly from: readonly PromptNode[]; readonly to: readonly PromptNode[]; readonly when: number }
  /** `[a|b|c]`: each step takes the next. */
  | { readonly kind: 'alternate'; readonly options: readonly (readonly PromptNode[])[] }

interface Frame {
  readonly open: '' | '[' | '('
  readonly fields: PromptNode[][]
  /** What stands between the fields. */
  readonly marks: string[]
}

const text = (value: string): PromptNode => ({ kind: 'text', text: value })
const number = /^\s*(?:\d+(?:\.\d*)?|\.\d+)\s*$/

/**
 * AUTOMATIC1111's prompt editing. Brackets that are neither an edit nor alternatives stay as they are, for `parsePrompt`.
 *
 * @throws PromptError beyond 32,000 characters or 100 brackets deep
 */
export function parseEditing(prompt: string): PromptNode[] {
  checkLength(prompt)
  const stack: Frame[] = [{ open: '', fields: [[]], marks: [] }]
  const top = () => stack.at(-1) as Frame
  const put = (...nodes: PromptNode[]) =>
    top()
      .fields.at(-1)
      ?.push(...nodes)
  /** The innermost bracket as text in the one around it. */
  const collapse = (close: string) => {
    const frame = stack.pop() as Frame
    const inside = frame.fields.flatMap((field, i) => (i === 0 ? field : [text(frame.marks[i - 1] as string), ...field]))
    for (const node of joined([text(frame.open), ...inside])) put(node)
    if (close) put(text(close))
  }
  for (const [token] of prompt.matchAll(/\\.|[[\]():|]|[^\\[\]():|]+|\\/gs)) {
    if (token === '[' || token === '(') {
      stack.push({ open: token, fields: [[]], marks: [] })
      checkDepth(stack.length - 1)
    } else if ((token === ':' || token === '|') && top().open === '[') {
      top().marks.push(token)
      top().fields.push([])
    } else if (token === ')' && top().open === '(') collapse(')')
    else if (token === ']' && stack.some(({ open }) => open === '[')) {
      while (top().open !== '[') collapse('')
      const node = nodeOf(top())
      if (node) {
        stack.pop()
        put(node)
      } else collapse(']')
    } else put(text(token))
  }
  while (stack.length > 1) collapse('')
  return joined(top().fields[0] as PromptNode[])
}

/** What a closed square bracket is, where it is more than a weight. */
function nodeOf({ fields, marks }: Frame): PromptNode | undefined {
  if (marks.length > 0 && marks.every((mark) => mark === '|')) return { kind: 'alternate', options: fields.map(joined) }
  const last = fields.at(-1) ?? []
  const when = last.map((node) => (node.kind === 'text' ? node.text : 'x')).join('')
  if (marks.length > 2 || marks.length === 0 || marks.includes('|') || !number.test(when)) return undefined
  const [from, to] = marks.length === 2 ? [fields[0], fields[1]] : [[], fields[0]]
  return { kind: 'edit', from: joined(from as PromptNode[]), to: joined(to as PromptNode[]), when: Number(when) }
}

/** Neighbouring texts as one. */
function joined(nodes: readonly PromptNode[]): PromptNode[] {
  const out: PromptNode[] = []
  for (const node of nodes) {
    const last = out.at(-1)
    if (node.kind === 'text' && last?.kind === 'text') out[out.length - 1] = text(last.text + node.text)
    else out.push(node)
  }
  return out
}

/** The prompt of a step, counted from 0, of so many. */
export function promptAt(nodes: readonly PromptNode[], step: number, steps: number): string {
  const one = (node: PromptNode): string => {
    if (node.kind === 'text') return node.text
    if (node.kind === 'alternate') return promptAt(node.options[step % node.options.length] ?? [], step, steps)
    const turn = Math.min(steps, Math.floor(node.when < 1 ? node.when * steps : node.when))
    return promptAt(step < turn ? node.from : node.to, step, steps)
  }
  return nodes.map(one).join('')
}

/** Prompts that act together, each with its weight: `a AND b :0.5`. Their guided differences are summed (Liu et al. 2022). */
export function splitAnd(prompt: string): { readonly text: string; readonly weight: number }[] {
  checkLength(prompt)
  return prompt.split(/\bAND\b/).map((part) => {
    const weight = /:\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))$/.exec(part.trimEnd())
    return { text: (weight ? part.slice(0, weight.index) : part).trim(), weight: weight ? Number(weight[1]) : 1 }
  })
}
