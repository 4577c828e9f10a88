import { ArgumentError } from '../core/errors.ts'

/** How a prompt names a picture: `[ref#1]` is the first of those that are given with it (Hu et al. 2024, Instruct-Imagen, section 3). */
const marker = /\[ref#(\d+)\]/g

/** The numbers of the pictures that a prompt names, each once, rising. */
export const referencesIn = (prompt: string): number[] =>
  [...new Set([...prompt.matchAll(marker)].map(([, number]) => Number(number)))].sort((a, b) => a - b)

/**
 * A prompt that mixes text and pictures as a T5 reads it: each `[ref#k]` is the sentinel k − 1, `<extra_id_0>` and so on, a token of its
 * own; the text between is cleaned by itself.
 *
 * @param count how many pictures are given
 * @throws ArgumentError where a name has no picture, or a picture no name
 */
export function withReferences(prompt: string, count: number, clean: (text: string) => string): string {
  const named = referencesIn(prompt)
  const missing = named.find((number) => number < 1 || number > count)
  if (missing !== undefined)
    throw new ArgumentError(
      `prompt: it names [ref#${missing}], and ${count === 0 ? 'no picture is' : `${count} pictures are`} given`,
    )
  const idle = Array.from({ length: count }, (_, i) => i + 1).find((number) => !named.includes(number))
  if (idle !== undefined)
    throw new ArgumentError(`references: picture ${idle} is nowhere in the prompt: write [ref#${idle}] where it is meant`)
  return prompt
    .split(marker)
    .map((part, i) => (i % 2 === 1 ? `<extra_id_${Number(part) - 1}>` : clean(part)))
    .filter((part) => part !== '')
    .join(' ')
}
