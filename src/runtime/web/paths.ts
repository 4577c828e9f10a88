/*
 * Paths as Node's `path.posix` has them; the folder that relative ones start from is the root.
 */

/** A path without `.`, `..` and doubled separators; `..` above the start of a relative path stays. */
function normalized(path: string): string {
  const absolute = path.startsWith('/')
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.length > 0 && parts.at(-1) !== '..') parts.pop()
    else if (!absolute) parts.push(part)
  }
  return (absolute ? '/' : '') + parts.join('/') || '.'
}

export const join = (...parts: readonly string[]): string => normalized(parts.filter((part) => part !== '').join('/') || '.')

export function resolve(...parts: readonly string[]): string {
  const start = parts.findLastIndex((part) => part.startsWith('/'))
  return join('/', ...parts.slice(Math.max(start, 0)))
}

export function relative(from: string, to: string): string {
  const [start, end] = [from, to].map((path) => resolve(path).split('/').filter(Boolean)) as [string[], string[]]
  const shared = start.findIndex((part, i) => part !== end[i])
  const common = shared < 0 ? start.length : shared
  return [...start.slice(common).map(() => '..'), ...end.slice(common)].join('/')
}

export function basename(path: string, ending = ''): string {
  const name = path.replace(/\/+$/, '').split('/').at(-1) ?? ''
  return name.endsWith(ending) && name !== ending ? name.slice(0, name.length - ending.length) : name
}

export function dirname(path: string): string {
  const folder = path.replace(/\/+$/, '').replace(/\/*[^/]*$/, '')
  return folder === '' ? (path.startsWith('/') ? '/' : '.') : folder
}

export const extname = (path: string): string => /[^.](\.[^.]*)$/.exec(basename(path))?.[1] ?? ''
