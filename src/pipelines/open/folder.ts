import { ConfigError, FolderError, readModelIndex } from '../../checkpoints/index.ts'
import { existsSync, join } from '../../runtime/system.ts'
import { languageSource } from './language-folder.ts'
import { storedIn } from './network.ts'
import { schedulerIn } from './scheduler.ts'
import type { ModelSource, OpenOptions } from './source.ts'

/** A pipeline's folder as diffusers' `save_pretrained` writes it. @throws FolderError, ConfigError */
export function folderSource(dir: string, options: OpenOptions = {}): ModelSource {
  const file = join(dir, 'model_index.json')
  if (!existsSync(file)) {
    const alone = languageSource(dir, options)
    if (alone) return alone
    throw new FolderError(dir, 'has no model_index.json; expected what save_pretrained of a diffusers pipeline writes')
  }
  const { _class_name: className, components, options: fields } = readModelIndex(dir)
  /** The class of a component that has to be there. */
  const classOf = (name: string, known?: readonly string[]): string => {
    const found = components.get(name)
    if (!found) throw new ConfigError(file, `lacks this component of a ${className}`, { field: name })
    if (known && !known.includes(found.className))
      throw new ConfigError(file, `is ${found.className}; expected ${known.join(' or ')}`, { field: name })
    if (!existsSync(join(dir, name))) throw new FolderError(join(dir, name), `no such folder, which ${file} names`)
    return found.className
  }
  return {
    place: dir,
    className,
    fields,
    has: (name) => Boolean(components.get(name)),
    network: (name, classes) => storedIn(join(dir, name), classes, options, classOf(name, classes)),
    scheduler: (name) => schedulerIn(join(dir, name), classOf(name)),
    tokenizer(name, classes) {
      classOf(name, classes)
      return join(dir, name)
    },
    beside: (name) => join(dir, name),
  }
}
