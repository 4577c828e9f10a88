import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { hashOf } from '../hash.ts'
import { nameOf } from './names.ts'

/** The three sets of pictures, by the word that captions use for them. */
export const styles = ['flat', '3d', 'noto'] as const
export type Style = (typeof styles)[number]

/** Where a style's pictures come from, and on what terms. */
export interface IconSource {
  readonly title: string
  readonly author: string
  /** SPDX identifier. */
  readonly licence: string
  readonly url: string
  /** The npm package that carries the pictures, in Iconify's JSON format. */
  readonly package: string
}

export const iconSources: Readonly<Record<Style, IconSource>> = {
  flat: {
    title: 'Fluent Emoji, flat',
    author: 'Microsoft Corporation',
    licence: 'MIT',
    url: 'https://github.com/microsoft/fluentui-emoji',
    package: '@iconify-json/fluent-emoji-flat',
  },
  '3d': {
    title: 'Fluent Emoji, colour with gradients',
    author: 'Microsoft Corporation',
    licence: 'MIT',
    url: 'https://github.com/microsoft/fluentui-emoji',
    package: '@iconify-json/fluent-emoji',
  },
  noto: {
    title: 'Noto Emoji',
    author: 'Google Inc',
    licence: 'Apache-2.0',
    url: 'https://github.com/googlefonts/noto-emoji',
    package: '@iconify-json/noto',
  },
}

/** Unicode's groups of emoji, but Flags (eight shapes) and Symbols (signs and letters in squares), which are left out. */
export const categories = [
  'Activities',
  'Animals & Nature',
  'Food & Drink',
  'Objects',
  'People & Body',
  'Smileys & Emotion',
  'Travel & Places',
] as const
export type Category = (typeof categories)[number]

/** A thing that one or more of the sets draw. */
export interface Icon {
  /** As captions say it, unique: `red apple`. */
  readonly name: string
  readonly category: Category
  /** What each set that has it calls it. */
  readonly slugs: Readonly<Partial<Record<Style, string>>>
  /** Held-out icons are for testing: no training split shows them, in any style. */
  readonly heldOut: boolean
}

const require = createRequire(import.meta.url)

/** Reads a file of an icon package. */
export function iconFile<T>(style: Style, file: 'icons.json' | 'metadata.json' | 'package.json'): T {
  return JSON.parse(readFileSync(require.resolve(`${iconSources[style].package}/${file}`), 'utf8')) as T
}

/** Kinds of pictures that are left out, and why. */
const leftOut: readonly (readonly [why: string, slugs: RegExp])[] = [
  ['clock faces: 24 that differ by their hands', /-(oclock|thirty)$/],
  [
    'mirror images',
    /-facing-right|^magnifying-glass-tilted-right$|^(right-facing|rightwards)-|^backhand-index-pointing-right$|-thumb-sign$/,
  ],
  ['families and couples, of which there are dozens alike', /^(family|couple|kiss)(-(man|woman|adult|with)|$)|-holding-hands$/],
  ['single letters', /^letter-.$/],
  ['a rude gesture', /^middle-finger$/],
]

/** Another skin tone of a picture, or a man or woman in a part that a neutral figure plays as well: `man-cook` by `cook`. */
function isVariant(slug: string, all: ReadonlySet<string>): boolean {
  if (/-skin-tone|-tone[1-5]/.test(slug)) return true
  const toneless = slug.replace(/(-(medium-)?(light|medium|dark))+(?=-|$)/, '')
  if (toneless !== slug && all.has(toneless)) return true
  const part = slug.match(/^(?:man|men|woman|women)-(.+)$/)?.[1] ?? slug.match(/^deaf-(?:man|woman)$/)?.[0].replace(/-.*/, '')
  if (part === undefined) return false
  return [part, `person-${part}`, `people-${part}`, `${part}-person`].some((neutral) => all.has(neutral))
}

/** One name in ten, by hash: an icon held out in one style is held out in all. */
export const isHeldOut = (name: string): boolean => hashOf(`icon ${name}`) % 10 === 0

let known: readonly Icon[] | undefined

/** Every icon, by name in code-point order. Reads the packages' metadata once, some hundred kilobytes. */
export function stickerCatalogue(): readonly Icon[] {
  known ??= buildCatalogue()
  return known
}

function buildCatalogue(): readonly Icon[] {
  const icons = new Map<string, { category: Category; slugs: Partial<Record<Style, string>> }>()
  // The set with gradients has the flat set's pictures, one for one, and no metadata of its own. Of two categories the
  // later set's stands: it follows the newer Unicode tables.
  for (const [source, into] of [
    ['flat', ['flat', '3d']],
    ['noto', ['noto']],
  ] as const) {
    const { categories: groups } = iconFile<{ categories: Record<string, string[]> }>(source, 'metadata.json')
    const all = new Set(Object.values(groups).flat())
    for (const category of categories)
      for (const slug of groups[category] ?? []) {
        if (leftOut.some(([, slugs]) => slugs.test(slug)) || isVariant(slug, all)) continue
        const name = nameOf(slug)
        const slugs = icons.get(name)?.slugs ?? {}
        icons.set(name, { category, slugs: { ...slugs, ...Object.fromEntries(into.map((style) => [style, slug])) } })
      }
  }
  return [...icons]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { category, slugs }]) => ({ name, category, slugs, heldOut: isHeldOut(name) }))
}
