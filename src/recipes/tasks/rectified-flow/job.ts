import { ArgumentError } from '../../../core/errors.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { clipTextWithProjection } from '../../../models/clip/index.ts'
import { mmditTransformer } from '../../../models/mmdit/index.ts'
import { Params } from '../../../nn/params.ts'
import { type FlowBatchParts, flowTokens, t5Length } from '../../../pipelines/index.ts'
import { traceTexts } from '../../../pipelines/stable-diffusion-3/texts.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import { scenesOf } from '../../data.ts'
import type { RecipeType } from '../../recipe.ts'
import { inMemory } from '../../stored.ts'
import { captionedLatents } from '../text-to-image/captioned-latents.ts'
import { promptGrid } from '../text-to-image/grid.ts'
import { layoutLoss } from '../text-to-image/layout-head.ts'
import { patchLabelLoss } from '../text-to-image/patch-labels.ts'
import { saveFlowPipeline } from '../text-to-image/pipeline-folder.ts'
import { heldOutErrors } from '../text-to-image/validation.ts'
import { noising } from './noise.ts'
import { openParts } from './parts.ts'
import { checkRecipe, type RectifiedFlow, rectifiedFlowSchema } from './schema.ts'

/** Rectified flow on latents by a transformer of two streams (Esser et al. 2024): Stable Diffusion 3 in small. */
export const rectifiedFlowType: RecipeType<typeof rectifiedFlowSchema> = {
  name: 'rectified-flow',
  summary: 'a transformer of two streams that turns noise into latents of captioned scenes along straight paths',
  schema: rectifiedFlowSchema,
  training: {
    train_batch_size: 48,
    learning_rate: 5e-4,
    lr_warmup_steps: 300,
    adam_weight_decay: 0.01,
    ema_decay: 0.999,
  },
  async job(recipe, { batchSize, seed, preview }) {
    checkRecipe(recipe)
    const { data, resolution: size, train_text_encoder: textLearns, layout_weight: layoutWeight, patch_labels: patches } = recipe
    const parts = openParts(recipe)
    const { vae, clips, t5, tokenizers, network, table } = parts
    const first = clips[0] as (typeof clips)[number]
    const pictures = await captionedLatents({ ...recipe, vae, seed })
    const { noised, weightAt, drawTimes } = noising(recipe)

    const params = Params.frozen(table)
    const shape = [batchSize, network.in_channels, network.sample_size, network.sample_size]
    const transformer = mmditTransformer(params, network)
    const denoiserKeys = [...params.tensors.keys()]
    const textStart = inMemory(first.weights)
    const frozen = ({ weights }: { weights: typeof first.weights }) => Params.frozen(inMemory(weights))
    const scopes = clips.map((clip, i) => (i === 0 && textLearns ? params : frozen(clip)))
    const trace = traceTexts(
      clips.map(({ config }, i) => ({ config, params: scopes[i] as Params })),
      { config: t5.config, params: frozen(t5) },
    )
    const { context, pooled } = trace(
      {
        clips: clips.map(({ tokenizer }, i) => input(`tokens${i}`, [batchSize, tokenizer.maxLength], 'i64')),
        t5: input('t5Tokens', [batchSize, t5Length(t5)], 'i64'),
      },
      input('kept', [batchSize, clips.length + 1]),
    )
    let hidden: Tensor | undefined
    const onBlock = (block: number, x: Tensor) => {
      if (block === patches?.block) hidden = x
    }
    const predicted = transformer(input('x', shape), input('t', [batchSize]), { context, pooled, onBlock })
    const errors = predicted.sub(input('target', shape)).square().mean([1, 2, 3])
    const error = errors.mean()
    const heads = await auxiliary()
    const loss = heads.reduce(
      (sum, { loss, weight }) => sum.add(loss.mul(weight)),
      errors.mul(input('weight', [batchSize])).mean(),
    )

    /** The whole pipeline, of the weights that learn. */
    const pipelineOf = (weights: ReadonlyMap<string, NdArray>): FlowBatchParts => {
      const own = (keys: Iterable<string>) => [...keys].map((key) => [key, weights.get(key) as NdArray] as const)
      const learnt = textLearns ? { ...first, weights: new Map(own(textStart.keys())) } : first
      return {
        transformer: { config: network, weights: new Map([...own(denoiserKeys), ...table]) },
        clips: [learnt, ...clips.slice(1)],
        ...{ t5, vae, size },
        scheduler: { ...recipe.scheduler, _class_name: 'FlowMatchEulerDiscreteScheduler', _diffusers_version: '0.40.0' },
      }
    }

    return {
      task: {
        params,
        loss,
        metrics: { error, ...Object.fromEntries(heads.map(({ name, loss }) => [name, loss])) },
        start: textLearns ? textStart : new Map(),
        async batch(generator, step) {
          const { clean, captions, positions } = await pictures.draw(generator, batchSize)
          const times = drawTimes(generator, batchSize, step)
          const noise = generator.randn(shape)
          const kept = generator.rand([batchSize, clips.length + 1]).map((u) => (u < recipe.encoder_dropout ? 0 : 1))
          const more = heads.map(({ feeds }) => feeds({ generator, positions }))
          return {
            ...noised(clean, noise, times),
            ...flowTokens(parts, captions),
            weight: NdArray.from(times.map(weightAt)),
            kept,
            ...Object.assign({}, ...more),
          }
        },
      },
      validation: heldOutErrors({
        ...{ data, resolution: size, steps: recipe.scheduler.num_train_timesteps, error, shape, noised, vae },
        told: (captions) => ({ ...flowTokens(parts, captions), kept: NdArray.full([batchSize, clips.length + 1], 1) }),
      }),
      preview: (weights) => promptGrid(pipelineOf(weights), recipe, preview),
      save: (weights, dir) => saveFlowPipeline(dir, pipelineOf(weights), tokenizers),
    }

    /** What is learnt besides, by heads that are not kept. */
    async function auxiliary(): Promise<Auxiliary[]> {
      const found: Auxiliary[] = []
      if (layoutWeight !== undefined) {
        // Captions alone, of which no picture is seen: these may be of held-out scenes, in the words of training.
        const dataset = await scenesOf(data, { size, seed })
        const encode = clipTextWithProjection(params, first.config)
        const encoder = (tokens: Tensor) => encode(tokens).layer(1, { norm: false })
        const { loss, feeds } = layoutLoss({ params, text: first, encoder, dataset, batchSize })
        found.push({ name: 'layout', weight: layoutWeight, loss, feeds: ({ generator }) => feeds(generator) })
      }
      if (patches) {
        const { loss, feeds } = patchLabelLoss({ params, dataset: pictures.dataset, tokens: tokensBehind(hidden, patches) })
        found.push({ name: 'patch_labels', weight: patches.weight, loss, feeds: ({ positions }) => feeds(positions) })
      }
      return found
    }
  },
}

interface Auxiliary {
  readonly name: string
  readonly weight: number
  readonly loss: Tensor
  feeds(of: { readonly generator: Generator; readonly positions: readonly number[] }): Readonly<Record<string, NdArray>>
}

function tokensBehind(hidden: Tensor | undefined, { block }: NonNullable<RectifiedFlow['patch_labels']>): Tensor {
  if (!hidden) throw new ArgumentError(`patch_labels: the transformer has no block ${block}; they are counted from 0`)
  return hidden
}
