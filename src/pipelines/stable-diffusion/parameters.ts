/** How a picture was made, in the words of AUTOMATIC1111's web UI: what other programs read of a PNG's `parameters`. */
export interface Parameters {
  readonly prompt: string
  readonly negative?: string | undefined
  /** In the order in which they are written; what is undefined is left out. */
  readonly settings: Readonly<Record<string, string | number | undefined>>
}

/** `a red fox\nNegative prompt: blurry\nSteps: 20, Sampler: EulerDiscreteScheduler, CFG scale: 7.5, Seed: 0, Size: 512x512`. */
export function parametersText({ prompt, negative, settings }: Parameters): string {
  const known = Object.entries(settings).filter(([, value]) => value !== undefined)
  const words = known.map(([key, value]) => `${key}: ${/[,:"\n]/.test(`${value}`) ? JSON.stringify(value) : value}`)
  return [prompt, ...(negative === undefined ? [] : [`Negative prompt: ${negative}`]), words.join(', ')].join('\n')
}
