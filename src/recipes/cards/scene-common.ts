import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { iconSources, sceneNouns } from '../../data/index.ts'
import type { ScenesConfig } from '../data.ts'
import type { RunFacts } from './run.ts'

export interface SceneCard {
  readonly dir: string
  readonly name: string
  readonly run: RunFacts
  readonly data: ScenesConfig
  /** How to train it again. */
  readonly command: string
}

/** The size of all weights in a folder. */
export function megabytes(dir: string): string {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.safetensors'))
  return (files.reduce((sum, file) => sum + statSync(join(dir, file)).size, 0) / 1e6).toFixed(1)
}

const gridSentence = ({ cells, sides }: NonNullable<ScenesConfig['lattice']>): string =>
  `They stand on a grid of ${cells} × ${cells} cells${sides ? ` and are ${sides.join(', ')} cells wide` : ''}. `

/** What models of scenes learn from. */
export function sceneDataSection({ styles, nouns: names, sizes, lattice }: ScenesConfig): string {
  const sources = styles.map((style) => iconSources[style])
  const nouns = sceneNouns(names).map(({ words: [word] }) => word)
  return `${sources.map(({ title, author, licence, url }) => `- [${title}](${url}), © ${author}, ${licence} licence`).join('\n')}

Scenes of one to four of ${nouns.length} stickers on twelve plain backgrounds, with captions, rendered as training goes on; what is held out \
for testing is described in docs/data.md. ${sizes === 'large' ? 'No sticker is small: the least are three eighths of the picture wide. ' : ''}${lattice ? gridSentence(lattice) : ''}The stickers: ${nouns.join(', ')}.`
}
