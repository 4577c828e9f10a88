import type { Options } from '../api/types.ts'

/** A1111's names of settings, and the options that they are. */
const names: Readonly<Record<string, string>> = {
  Steps: 'steps',
  'CFG scale': 'guidance',
  Seed: 'seed',
  Sampler: 'scheduler',
  'Denoising strength': 'strength',
  'Clip skip': 'clipSkip',
}

/** What a picture's text says that it was made of. */
export interface Settings {
  readonly model?: string
  readonly options: Options
}

/** Reads the text that A1111 and langevin write into pictures: the prompt, `Negative prompt:`, and a line of `Name: value, …`. */
export function settingsIn(text: string): Settings | undefined {
  const lines = text.split('\n')
  const at = lines.findLastIndex((line) => /^\s*Steps:\s*\d/.test(line))
  if (at < 0) return undefined
  const negativeAt = lines.findIndex((line) => line.startsWith('Negative prompt:'))
  const promptEnd = negativeAt < 0 ? at : negativeAt
  const prompt = lines.slice(0, promptEnd).join('\n').trim()
  const negative = negativeAt < 0 ? '' : lines.slice(negativeAt, at).join('\n').replace('Negative prompt:', '').trim()
  const options: Record<string, unknown> = { prompt, ...(negative && { negative }) }
  let model: string | undefined
  for (const [, name = '', quoted, plain = ''] of (lines[at] ?? '').matchAll(
    /([\w ]+):\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))(?:,\s*|$)/g,
  )) {
    const value = (quoted ?? plain).trim()
    const own = names[name.trim()]
    if (own !== undefined) options[own] = Number.isFinite(Number(value)) && value !== '' ? Number(value) : value
    else if (name.trim() === 'Model') model = value
    const [, width, height] = name.trim() === 'Size' ? (/^(\d+)x(\d+)$/.exec(value) ?? []) : []
    if (width && height) Object.assign(options, { width: Number(width), height: Number(height) })
  }
  return { options, ...(model !== undefined && { model }) }
}
