import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { saving, writeAtomic } from '../../../checkpoints/atomic.ts'
import { loadConfig, saveConfig, writeSafetensors } from '../../../checkpoints/index.ts'
import { isObject, writeJson } from '../../../checkpoints/json.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { GlideTokenizer, type LanguageVocabulary } from '../../../text/index.ts'

/** The files of a network as `langevin generate` finds them. */
export type GlideFile = 'base' | 'base_inpaint' | 'clip_image_enc' | 'clip_text_enc'

/** What a training run copies from another's folder before it adds its own. */
export function startFolder(dir: string, from: string | undefined): void {
  saving(dir, () => mkdirSync(dir, { recursive: true }))
  if (from === undefined) return
  const names = ['config.json', 'tokenizer', 'clip_tokenizer', ...glideFiles.map((name) => `${name}.safetensors`)]
  for (const name of names) if (existsSync(join(from, name))) cpSync(join(from, name), join(dir, name), { recursive: true })
}
const glideFiles: readonly GlideFile[] = ['base', 'base_inpaint', 'clip_image_enc', 'clip_text_enc']

/** Weights of one network as float16, under OpenAI's keys. */
export function saveGlideWeights(dir: string, file: GlideFile, weights: ReadonlyMap<string, NdArray>): void {
  const half = [...weights].map(([key, value]) => [key, value.cast('f16')] as const)
  writeSafetensors(join(dir, `${file}.safetensors`), half)
}

/** Adds a network's fields to the folder's `config.json`. */
export function saveGlideConfig(dir: string, name: 'base' | 'clip', config: object): void {
  const before = existsSync(join(dir, 'config.json')) ? loadConfig(dir) : {}
  saveConfig(dir, { ...(isObject(before) ? before : {}), [name]: config }, 'config.json')
}

/** A vocabulary as `GlideTokenizer` reads it. */
export function saveGlideTokenizer(dir: string, { vocab, merges }: LanguageVocabulary): void {
  saving(dir, () => mkdirSync(dir, { recursive: true }))
  writeJson(join(dir, 'vocab.json'), { ...vocab })
  writeAtomic(join(dir, 'merges.txt'), ['#version: 0.2', ...merges.map((pair) => pair.join(' ')), ''].join('\n'))
}

/** The tokenizer that a folder would give. */
export function glideTokenizerOf(vocabulary: LanguageVocabulary): GlideTokenizer {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-tokenizer-'))
  try {
    saveGlideTokenizer(dir, vocabulary)
    return GlideTokenizer.open(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}
