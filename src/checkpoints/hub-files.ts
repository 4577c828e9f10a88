import { isPlainName } from './json.ts'

/** Folders of a pipeline that no pipeline here runs. */
export const unused = new Set(['safety_checker'])
const kept = /\.(json|txt|model)$/
const weights = /^(diffusion_pytorch_model|model)(?:\.([^.-]+))?(?:-\d{5}-of-\d{5})?\.safetensors$/
const indices = /^(diffusion_pytorch_model|model)\.safetensors\.index(?:\.([^.]+))?\.json$/

/** Whether a repository's path stays within a folder on every system. */
export const isSafePath = (path: string): boolean => path.split('/').every(isPlainName)

/** What to fetch of a repository, and what stands in the way. */
export interface Selection {
  readonly files: readonly string[]
  /** Folders that have weights, but none that can be read: pickles, or variants that were not asked for. */
  readonly unreadable: readonly string[]
  /** Variants that every one of those folders has safetensors of. */
  readonly variants: readonly string[]
}

/**
 * The files that a diffusers folder, or a single model's, is run from: configurations, tokenizers and one set of safetensors a
 * folder, the variant's where there is one. Pickles, other frameworks' weights, pictures and a pipeline's other files are left.
 *
 * @param components the folders that `model_index.json` names; none for a single model's repository
 */
export function selectFiles(paths: readonly string[], components: readonly string[] | undefined, variant?: string): Selection {
  const folders = new Map<string, string[]>()
  for (const path of paths.filter(isSafePath)) {
    const cut = path.lastIndexOf('/')
    const folder = cut < 0 ? '' : path.slice(0, cut)
    folders.set(folder, [...(folders.get(folder) ?? []), path.slice(cut + 1)])
  }
  const files: string[] = []
  const unreadable: string[] = []
  let variants: string[] | undefined
  for (const [folder, names] of folders) {
    const wanted = folder === '' || (components?.includes(folder) && !unused.has(folder))
    if (!wanted) continue
    const found = new Map(names.flatMap((name) => own(name) ?? []))
    const sets = folder === '' && components ? new Map<string, string[]>() : grouped(found)
    const chosen = (variant === undefined ? undefined : sets.get(variant)) ?? sets.get('')
    if (!chosen && (sets.size > 0 || names.some((name) => /\.(bin|ckpt|pt|pth)$/.test(name))) && !(folder === '' && components)) {
      unreadable.push(folder || '.')
      variants = [...sets.keys()].filter((name) => variants?.includes(name) ?? true)
    }
    const plain = names.filter((name) => kept.test(name) && !indices.test(name))
    files.push(...[...plain, ...(chosen ?? [])].map((name) => (folder ? `${folder}/${name}` : name)))
  }
  return { files: files.sort(), unreadable, variants: variants ?? [] }
}

/** A file of weights with its stem and variant. */
function own(name: string): [string, { stem: string; variant: string }][] | undefined {
  const match = weights.exec(name) ?? indices.exec(name)
  return match ? [[name, { stem: match[1] as string, variant: match[2] ?? '' }]] : undefined
}

/** The files of each variant; diffusers' stem goes before transformers'. */
function grouped(found: ReadonlyMap<string, { stem: string; variant: string }>): Map<string, string[]> {
  const stem = [...found.values()].some((file) => file.stem !== 'model') ? 'diffusion_pytorch_model' : 'model'
  const sets = new Map<string, string[]>()
  for (const [name, file] of found) {
    if (file.stem === stem) sets.set(file.variant, [...(sets.get(file.variant) ?? []), name])
  }
  return sets
}
