import type { Job, Options } from '../api/types.ts'
import { createStore } from '../store.ts'

/** What stands in the form: this browser keeps it. */
export interface Draft {
  /** The server's own choice where empty. */
  readonly model: string
  readonly prompt: string
  readonly negative: string
  /** Each model's, beside prompts. */
  readonly options: Readonly<Record<string, Options>>
  readonly seedLocked: boolean
  /** The last prompts, the newest first. */
  readonly history: readonly string[]
}

export const draft = createStore<Draft>(
  { model: '', prompt: '', negative: '', options: {}, seedLocked: false, history: [] },
  'langevin.draft',
)

/** Prompts that are remembered. */
const MOST = 50

export const change = (part: Partial<Draft>): void => draft.set((now) => ({ ...now, ...part }))

export const setOption = (model: string, name: string, value: unknown): void =>
  draft.set((now) => ({ ...now, options: { ...now.options, [model]: { ...now.options[model], [name]: value } } }))

export const remember = (prompt: string): void =>
  draft.set((now) => ({
    ...now,
    history: [prompt, ...now.history.filter((one) => one !== prompt)].filter(Boolean).slice(0, MOST),
  }))

/** Puts all that a job was made of into the form. */
export function recallAll({ model, options }: Pick<Job, 'model' | 'options'>, seed?: number): void {
  const { prompt, negative, ...rest } = options
  draft.set((now) => ({
    ...now,
    model,
    prompt: typeof prompt === 'string' ? prompt : now.prompt,
    negative: typeof negative === 'string' ? negative : '',
    options: { ...now.options, [model]: { ...rest, ...(seed !== undefined && { seed }) } },
    seedLocked: true,
  }))
}

export const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0
