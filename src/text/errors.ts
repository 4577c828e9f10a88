import { LangevinError } from '../core/errors.ts'

/** A prompt that is too long, too deeply nested, or not text. */
export class PromptError extends LangevinError {}

/** Characters that a prompt may have. */
export const maxPrompt = 32000

/** Brackets within brackets that a prompt may have. */
export const maxDepth = 100

/** @throws PromptError for a prompt beyond the limit, before anything reads it */
export function checkLength(text: string): void {
  if (text.length > maxPrompt) throw new PromptError(`the prompt has ${text.length} characters, at most ${maxPrompt} are read`)
}

/** @throws PromptError */
export function checkDepth(depth: number): void {
  if (depth > maxDepth)
    throw new PromptError(`the prompt has brackets more than ${maxDepth} deep: escape those that are text as \\(`)
}
