import { Input } from '@mantine/core'
import { type KeyboardEvent, useId, useRef } from 'react'

/** What stands out in a prompt: weights, choices, wildcards, adapters, and the words that divide it. */
const marks = /\([^()]*\)|\[[^[\]]*\]|\{[^{}]*\}|<[\w-]+:[^<>]*>|__[\w/-]+__|\b(?:AND|BREAK)\b/g

function parts(text: string) {
  const found: { readonly text: string; readonly mark?: string; readonly at: number }[] = []
  let from = 0
  for (const { 0: mark, index } of text.matchAll(marks)) {
    if (index > from) found.push({ text: text.slice(from, index), at: from })
    found.push({ text: mark, mark: markOf(mark), at: index })
    from = index + mark.length
  }
  found.push({ text: text.slice(from), at: from })
  return found
}

function markOf(text: string): string {
  if (text.startsWith('(')) return Number(/:\s*([\d.]+)\s*\)$/.exec(text)?.[1] ?? 1.1) < 1 ? 'less' : 'more'
  if (text.startsWith('[')) return 'less'
  return 'choice'
}

interface Props {
  readonly label: string
  readonly description?: string | undefined
  readonly placeholder?: string | undefined
  readonly value: string
  readonly onChange: (text: string) => void
  readonly error?: string | undefined
  readonly rows: number
  /** Ctrl+Enter. */
  readonly onSubmit: () => void
}

/** A prompt: it grows as it is written, its weights stand out, and Ctrl with an arrow changes that of what is selected. */
export function Prompt({ label, description, placeholder, value, onChange, error, rows, onSubmit }: Props) {
  const id = useId()
  const box = useRef<HTMLTextAreaElement>(null)
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (!event.ctrlKey && !event.metaKey) return
    if (event.key === 'Enter') {
      event.preventDefault()
      onSubmit()
    } else if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
      const changed = weighed(
        value,
        box.current?.selectionStart ?? 0,
        box.current?.selectionEnd ?? 0,
        event.key === 'ArrowUp' ? 0.1 : -0.1,
      )
      if (!changed) return
      event.preventDefault()
      onChange(changed.text)
      requestAnimationFrame(() => box.current?.setSelectionRange(changed.start, changed.end))
    }
  }
  return (
    <Input.Wrapper id={id} label={label} description={description} error={error}>
      <div className="prompt" data-error={error !== undefined || undefined}>
        <div className="marks" aria-hidden="true" style={{ minHeight: `${rows * 1.55 + 1.1}em` }}>
          {parts(value).map(({ text, mark, at }) =>
            mark ? (
              <mark key={at} className={mark}>
                {text}
              </mark>
            ) : (
              text
            ),
          )}
          {'\u200b'}
        </div>
        <textarea
          ref={box}
          id={id}
          value={value}
          placeholder={placeholder}
          aria-invalid={error !== undefined}
          onChange={({ currentTarget }) => onChange(currentTarget.value)}
          onKeyDown={onKeyDown}
        />
      </div>
    </Input.Wrapper>
  )
}

/** Gives what is selected, or the word there, another weight: (fox:1.1). At 1 the brackets go. */
export function weighed(text: string, from: number, to: number, by: number) {
  let [start, end] = [from, to]
  if (start === end) {
    while (start > 0 && /[\p{L}\p{N}'-]/u.test(text[start - 1] ?? '')) start--
    while (end < text.length && /[\p{L}\p{N}'-]/u.test(text[end] ?? '')) end++
  }
  if (start === end) return undefined
  const around = /^:([\d.]+)\)/.exec(text.slice(end))
  const inside = text.slice(start, end)
  const held = text[start - 1] === '(' && around
  const weight = Math.round(((held ? Number(around[1]) : 1) + by) * 10) / 10
  if (weight <= 0) return undefined
  const [before, after] = held
    ? [text.slice(0, start - 1), text.slice(end + around[0].length)]
    : [text.slice(0, start), text.slice(end)]
  const put = weight === 1 ? inside : `(${inside}:${weight})`
  const shift = before.length + (weight === 1 ? 0 : 1)
  return { text: before + put + after, start: shift, end: shift + inside.length }
}
