import { existsSync, join, statSync } from '../runtime/system.ts'
import { HubError, type HubOptions } from './hub-types.ts'

/*
 * `hub.ts` in a browser, where nothing is downloaded while a model is being opened: what is fetched is mounted before.
 */

export { HubError, type HubOptions, type HubProgress } from './hub-types.ts'

const notMounted = (name: string) =>
  new HubError(
    name,
    "no such folder or file was mounted; in a browser a model of the hub is opened by `open({ hub: 'org/name' })`",
  )

/** A model by the folder or file that was mounted. @throws HubError */
export async function resolveModel(
  name: string,
  _options?: HubOptions,
): Promise<{ readonly kind: 'folder' | 'file'; readonly path: string }> {
  if (!existsSync(name)) throw notMounted(name)
  return { kind: statSync(name)?.isDirectory() ? 'folder' : 'file', path: name }
}

/** A LoRA's file that was mounted, or the one of a folder. @throws HubError */
export async function resolveLora(name: string, _options?: HubOptions): Promise<string> {
  const files = [name, join(name, 'pytorch_lora_weights.safetensors'), join(name, 'adapter_model.safetensors')]
  const found = files.find((file) => existsSync(file) && statSync(file)?.isFile())
  if (found === undefined) throw notMounted(name)
  return found
}

export async function fetchModel(model: string, _options?: HubOptions): Promise<string> {
  throw notMounted(model)
}

export async function pullModel(name: string): Promise<never> {
  throw notMounted(name)
}
