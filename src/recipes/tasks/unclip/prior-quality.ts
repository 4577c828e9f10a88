import { NdArray } from '../../../runtime/ndarray.ts'
import type { ClipEmbedder, EmbeddedTexts } from './clip-embedder.ts'

/** What draws pictures' embeddings for texts: [N, D] each. */
export interface EmbeddingDrawer {
  draw(texts: EmbeddedTexts): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

/** How near embeddings are to those of the pictures themselves. */
export interface EmbeddingQuality {
  /** Mean cosine to the own picture's embedding. */
  readonly cosine: number
  /** How often the own picture's is the nearest of all. */
  readonly first: number
}

export const cosine = (a: NdArray, b: NdArray): number => a.dot(b) / Math.sqrt(a.dot(a) * b.dot(b))

const row = (all: NdArray<'f32'>, i: number) => all.slice(0, i, i + 1)
const rows = (all: NdArray<'f32'>) => Array.from({ length: all.shape[0] as number }, (_, i) => row(all, i))

/** Embeddings [N, D] beside the pictures' [N, D], of which each has one. */
export function embeddingQuality(embeds: NdArray<'f32'>, pictures: NdArray<'f32'>): EmbeddingQuality {
  const all = rows(pictures)
  const found = rows(embeds).map((one) => all.map((picture) => cosine(one, picture)))
  const own = found.map((cosines, i) => cosines[i] as number)
  return {
    cosine: own.reduce((a, b) => a + b, 0) / own.length,
    first: own.filter((value, i) => value >= Math.max(...(found[i] as number[]))).length / own.length,
  }
}

/** Of captioned pictures: what a prior draws for the captions, the captions' own embeddings, and the mean of other pictures for all. */
export async function priorQuality(
  clip: Pick<ClipEmbedder, 'texts' | 'pictures'>,
  drawer: EmbeddingDrawer,
  { images, captions }: { readonly images: NdArray<'f32'>; readonly captions: readonly string[] },
  mean: NdArray<'f32'>,
): Promise<Record<'prior' | 'text' | 'mean', EmbeddingQuality>> {
  const pictures = await clip.pictures(images)
  const texts = await clip.texts(captions)
  return {
    prior: embeddingQuality(await drawer.draw(texts), pictures),
    text: embeddingQuality(texts.textEmbeds, pictures),
    mean: embeddingQuality(NdArray.concat(captions.map(() => mean)), pictures),
  }
}

/** Texts one by one. */
export const eachText = ({ textEmbeds, context, contextMask }: EmbeddedTexts): EmbeddedTexts[] =>
  rows(textEmbeds).map((one, i) => ({ textEmbeds: one, context: row(context, i), contextMask: row(contextMask, i) }))
