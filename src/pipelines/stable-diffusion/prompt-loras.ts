import { type HubOptions, resolveLora } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { basename, dirname, existsSync, join, statSync } from '../../runtime/system.ts'
import { type PromptLora, planPrompt } from '../../text/index.ts'
import type { Settings } from './options.ts'

export interface LoraSearch {
  /** What errors and pictures call the model: a folder or a file. */
  readonly place: string
  /** The folder of LoRA files; beside the model unless given. */
  readonly loraDir?: string | undefined
  readonly hub?: HubOptions | undefined
}

const endings = ['', '.safetensors', '.pt', '.ckpt', '.bin']

/**
 * The file that a prompt means by `<lora:name:weight>`: in the folder that is named, else beside the model, in `loras/` there, or
 * in a model's own folder; a name with a slash that no file has is one on the hub.
 *
 * @throws ArgumentError that says where was looked, HubError
 */
export async function promptLora(name: string, { place, loraDir, hub }: LoraSearch): Promise<string> {
  // A prompt may come from anybody.
  const parts = name.split('/')
  if (name.includes('\\') || name.includes('\0') || parts.some((part) => part === '' || /^\.+$/.test(part)))
    throw new ArgumentError(`<lora:${name}>: a name has no backslash, no ".." and no empty part`)
  const around = loraDir === undefined ? besides(place) : [loraDir]
  for (const dir of around)
    for (const ending of endings) {
      const file = join(dir, name + ending)
      if (/\.(safetensors|pt|ckpt|bin)$/.test(file) && existsSync(file) && statSync(file).isFile()) return file
    }
  if (parts.length > 1) return resolveLora(name, hub)
  throw new ArgumentError(
    `<lora:${name}>: no ${basename(name)}.safetensors in ${around.join(', ')}: name its folder with loraDir (--lora-dir)`,
  )
}

const besides = (place: string): string[] =>
  existsSync(place) && statSync(place).isFile()
    ? [dirname(place), join(dirname(place), 'loras'), join(dirname(place), 'Lora')]
    : [join(place, 'loras'), join(dirname(place), 'loras'), dirname(place)]

/** The LoRAs that a run's prompts name, each once. */
export function lorasOf({ prompt, prompt2, syntax }: Settings): PromptLora[] {
  const all = [prompt, ...(prompt2 === undefined ? [] : [prompt2])].flatMap((text) => planPrompt(text, { syntax }).loras)
  return [...new Map(all.map((one) => [JSON.stringify(one), one])).values()].filter(({ weight }) => weight !== 0)
}
