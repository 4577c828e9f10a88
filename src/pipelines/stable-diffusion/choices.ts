import { planPrompt } from '../../text/index.ts'
import type { Settings } from './options.ts'

/** The runs of these settings: one, or, where a prompt's choices differ from picture to picture, one for each. */
export function chosen(settings: Settings): Settings[] {
  const { wildcards, num, seed, latents } = settings
  if (wildcards === undefined) return [settings]
  const { wildcards: _, ...rest } = settings
  const made = Array.from({ length: num }, (_, k): Settings => {
    const choose = (text: string | undefined) =>
      text === undefined ? undefined : planPrompt(text, { syntax: settings.syntax, wildcards, seed: seed + k }).text
    const own = { prompt: choose(settings.prompt) ?? '', negative: choose(settings.negative) }
    const second = { prompt2: choose(settings.prompt2), negative2: choose(settings.negative2) }
    const one = latents && latents.shape[0] === num ? latents.slice(0, k, k + 1) : latents
    return { ...rest, ...own, ...second, seed: seed + k, num: 1, latents: one }
  })
  const texts = ({ prompt, negative, prompt2, negative2 }: Settings) => JSON.stringify([prompt, negative, prompt2, negative2])
  const [first] = made as [Settings]
  const same = made.every((one) => texts(one) === texts(first))
  return same ? [{ ...first, num, ...(latents && { latents }) }] : made
}
