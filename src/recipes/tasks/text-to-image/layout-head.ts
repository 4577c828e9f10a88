import { ArgumentError } from '../../../core/errors.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { labelsOf } from '../../../data/dataset.ts'
import { type ComposedScene, describedBy, type Noun, type SceneCaption, type SceneDataset } from '../../../data/index.ts'
import { crossAttention, gegluFeedForward } from '../../../nn/index.ts'
import { layerNorm, linear } from '../../../nn/layers.ts'
import { normal, type Params } from '../../../nn/params.ts'
import { framed, type PromptBatchParts } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import { crossEntropy } from '../classifier.ts'

/** What a caption may tell of a layout: what stands at which end of the row, and in which third a small object stands. */
export const questions = ['left', 'right', 'top', 'bottom', 'column', 'row'] as const

const HEAD = 32

interface LayoutLossParts {
  /** Those that learn; the head's are added under `layout`. */
  readonly params: Params
  readonly text: Pick<PromptBatchParts['text'], 'config' | 'tokenizer'>
  /** Tokens → the hidden states that the denoiser reads. */
  encoder(tokens: Tensor): Tensor
  readonly dataset: SceneDataset
  readonly batchSize: number
}

/** The loss of an auxiliary head that tells layouts from captions, one caption to four pictures; and the captions of a step. */
export function layoutLoss({ params, text, encoder, dataset, batchSize }: LayoutLossParts) {
  const count = Math.ceil(batchSize / 4)
  const rows = count * questions.length
  const classes = dataset.nouns.length
  const head = layoutHead(params.at('layout'), text.config.hidden_size, classes)
  const tokens = input('layoutTokens', [count, text.tokenizer.maxLength], 'i64')
  const logits = head(encoder(tokens)).reshape([rows, classes])
  return {
    loss: crossEntropy(logits, input('layout', [rows], 'i64'), input('layoutTold', [rows])),
    feeds(generator: Generator) {
      const { captions, answers, told } = drawLayouts(dataset, generator, count)
      return { layoutTokens: framed(text.tokenizer, captions), layout: answers, layoutTold: told }
    },
  }
}

/**
 * Tells a layout from a text's hidden states [B, N, width]: logits [B, questions, classes]. What learns from it is the text encoder,
 * and it is not kept: matched with pictures, captions are learnt as bags of words (Yuksekgonul et al. 2023), and structure that is
 * known beside them helps (Huang et al. 2024, Structure-CLIP).
 */
export function layoutHead(p: Params, width: number, classes: number) {
  const asked = p.get('questions', [1, questions.length, width], normal(0.1))
  const attend = crossAttention(p.at('attn'), { width, heads: Math.max(1, Math.floor(width / HEAD)) })
  const feed = gegluFeedForward(p.at('ff'), width)
  const [before, between] = [layerNorm(p.at('norm1'), width), layerNorm(p.at('norm2'), width)]
  const answer = linear(p.at('answer'), width, classes)
  return (states: Tensor): Tensor => {
    const start = asked.expand([states.shape[0] as number, questions.length, width])
    const seen = start.add(attend(before(start), { context: states }))
    return answer(seen.add(feed(between(seen))))
  }
}

/** Captions that tell a layout, with what they tell. */
export interface LayoutBatch {
  readonly captions: readonly string[]
  /** i64 [B · questions], numbers of nouns, or of thirds. */
  readonly answers: NdArray<'i64'>
  /** f32 [B · questions], 1 where the caption answers the question. */
  readonly told: NdArray<'f32'>
}

/** More draws than this for each caption that tells a layout, and the data is taken to have none; scenes as they are need some 3. */
const PATIENCE = 1000

/**
 * Draws captions of scenes, none of which is rendered, until `count` of them tell a layout.
 *
 * @throws ArgumentError where the data's captions tell none
 */
export function drawLayouts(dataset: SceneDataset, generator: Generator, count: number): LayoutBatch {
  const captions: string[] = []
  const answers: (number | undefined)[] = []
  for (let drawn = 0; captions.length < count; drawn++) {
    if (drawn >= PATIENCE * count)
      throw new ArgumentError(`layout_weight: no layout in ${drawn} captions; use data of several objects, or of small ones`)
    const position = generator.bits()
    const scene = dataset.sceneAt(position)
    const caption = dataset.captionAt(position)
    const found = layoutOf(scene, caption, dataset.nouns)
    if (!found) continue
    captions.push(caption.text)
    answers.push(...questions.map((question) => found[question]))
  }
  return {
    captions,
    answers: labelsOf(answers.map((answer) => answer ?? 0)),
    told: NdArray.from(answers.map((answer) => (answer === undefined ? 0 : 1))),
  }
}

/** The answers that a caption gives, if any. */
export function layoutOf(
  { groups, axis }: ComposedScene,
  caption: Pick<SceneCaption, 'described' | 'told'>,
  nouns: readonly Noun[],
): Partial<Record<(typeof questions)[number], number>> | undefined {
  const described = describedBy(caption)
  const position = groups[0]?.position
  if (described.position && position) return { column: position.x, row: position.y }
  if (!described.relation) return undefined
  const [first, last] = [groups[0], groups.at(-1)].map((group) => nouns.findIndex(({ icon }) => icon === group?.noun.icon))
  return axis === 'x' ? { left: first as number, right: last as number } : { top: first as number, bottom: last as number }
}
