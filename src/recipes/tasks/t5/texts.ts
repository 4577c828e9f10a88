import { readFileSync } from 'node:fs'
import { ArgumentError } from '../../../core/errors.ts'
import { stickerCatalogue, withArticle } from '../../../data/index.ts'
import { decodeText } from '../../../data/text.ts'
import type { Generator } from '../../../runtime/random.ts'
import { type ScenesConfig, scenesOf } from '../../data.ts'
import { heldOutSet } from '../../held-out.ts'

/** Where texts come from: captions of scenes, phrases with the name of a sticker, sentences of one's own files. */
export const textSources = ['captions', 'names', 'files'] as const
export type TextSource = (typeof textSources)[number]

export interface TextsOptions {
  readonly data: ScenesConfig
  readonly sources: Readonly<Partial<Record<TextSource, number>>>
  /** Text files, each in sentences. */
  readonly files: readonly string[]
  readonly seed: number
}

/** Draws a text. */
export type Texts = (generator: Generator) => string

/** @throws ArgumentError for a source that has no texts */
export async function textsOf({ data, sources, files, seed }: TextsOptions): Promise<Texts> {
  const scenes = await scenesOf(data, { size: 1, seed })
  const names = stickerCatalogue().filter(({ heldOut }) => !heldOut)
  const sentences = files.flatMap(sentencesIn)
  if ((sources.files ?? 0) > 0 && sentences.length === 0)
    throw new ArgumentError('sources: files has a weight; name files with text')
  const weights = textSources.map((source) => sources[source] ?? 0)
  const total = sum(weights)
  if (!(total > 0)) throw new ArgumentError('sources: give one of them a weight above 0')
  return (generator) => {
    const uniform = () => generator.bits() / 2 ** 32
    const one = <T>(list: readonly T[]): T => list[Math.floor(uniform() * list.length)] as T
    const at = uniform() * total
    const source = textSources.find((_, i) => at < sum(weights.slice(0, i + 1)))
    if (source === 'files') return one(sentences)
    if (source !== 'names') return asPeopleWrite(scenes.captionAt(generator.bits(), generator.bits()).text, uniform)
    const { name, category } = one(names)
    const thing = withArticle(name)
    const phrases = [thing, `a sticker of ${thing}`, `${thing}, one of ${category.toLowerCase()}`, `${category}: ${name}`]
    return asPeopleWrite(one(phrases), uniform)
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

/** Some begin with a capital, some end in a full stop. */
function asPeopleWrite(text: string, uniform: () => number): string {
  const started = uniform() < 0.1 ? text.charAt(0).toUpperCase() + text.slice(1) : text
  return uniform() < 0.1 ? `${started}.` : started
}

function sentencesIn(file: string): string[] {
  const { text, fault } = decodeText(readFileSync(file))
  if (text === undefined) throw new ArgumentError(`${file}: ${fault}`)
  const sentences = text.split(/(?<=[.!?])\s+|\n{2,}/).map((one) => one.replace(/\s+/g, ' ').trim())
  return sentences.filter((one) => one.includes(' '))
}

/** Captions in wordings that training does not use. */
export const heldOutTexts = async (data: ScenesConfig, count: number): Promise<readonly string[]> =>
  (await heldOutSet(data, 'validation', { size: 1, count })).captions
