import { ArgumentError } from '../../core/errors.ts'
import { attention, concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { FreeU } from '../../diffusion/freeu.ts'
import { activations } from '../../nn/activation.ts'
import { conv, type Layer, layerNorm, linear } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'
import { regionScores } from '../../nn/regions.ts'
import { gaussianFourier, sinusoidal, timeEmbedding } from '../../nn/time.ts'
import type { ImagePrompt, Sight } from '../../nn/transformer.ts'
import { classEmbedding } from '../unet/class-embedding.ts'
import { contextWidthOf, type UNet2DConditionConfig } from './config.ts'

/** Conditions of a network besides timestep and context. The config decides for each whether it is required or refused. */
export interface Extras {
  /** Classes or noise levels: i64 [B] for a table, else f32 as `class_embed_type` says. */
  readonly classLabels?: Tensor | undefined
  /** The embedded guidance scale of a distilled network: [B, time_cond_proj_dim]. */
  readonly timestepCondition?: Tensor | undefined
  /** The pooled text of SDXL and Kandinsky 2.1: [B, D]. */
  readonly textEmbeds?: Tensor | undefined
  /** SDXL's sizes and crops: [B, 6], the refiner's [B, 5]. */
  readonly timeIds?: Tensor | undefined
  /** The embedded picture of Kandinsky: [B, D]. */
  readonly imageEmbeds?: Tensor | undefined
  /** Kandinsky 2.2's ControlNet: the control image in [0, 1], [B, 3, 8·H, 8·W]. */
  readonly hint?: Tensor | undefined
  /** Which tokens of the context are seen: f32 [B, M], 1 or 0. */
  readonly contextMask?: Tensor | undefined
  /** Of a context of R prompts one after another, how much each is seen where: f32 [B, R, h, w] (`nn/regions`). */
  readonly regions?: Tensor | undefined
  /** Pictures that the transformers see beside the context, each by an adapter's keys and values (`models/ip-adapter`). */
  readonly imagePrompts?: readonly ImagePrompt[] | undefined
  /** Perturbed attention: which self-attentions let each token see itself alone, in how many of the batch's last entries. */
  readonly identity?: Sight['identity']
  /** FreeU: of the first way-up block and of the second. */
  readonly freeU?: readonly FreeU[] | undefined
}

/** What every block of the network is given beside its features: the context [B, M, cross_attention_dim], its mask [B, 1, 1, M]. */
export interface Given extends Sight {
  /** The time embedding [B, timeWidth] after the activation, and before it. */
  readonly time: Tensor
  readonly rawTime: Tensor
  readonly freeU?: readonly FreeU[] | undefined
}

export interface Conditioning {
  /** Width of the time embedding as blocks get it. */
  readonly timeWidth: number
  /** timestep f32 [B], context [B, M, C]. */
  readonly embed: (timestep: Tensor, context: Tensor, extras: Extras) => Given
  /** Channels that a control image gives the sample: [B, 4, H, W]. */
  readonly hint: ((extras: Extras) => Tensor) | undefined
}

/** Time, class, pooled text and context, as the blocks take them. */
export function conditioning(p: Params, config: UNet2DConditionConfig): Conditioning {
  const first = config.block_out_channels[0] as number
  const fourier = config.time_embedding_type === 'fourier'
  const width = config.time_embedding_dim ?? first * (fourier ? 2 : 4)
  const encoded = fourier ? width : first
  const encode = fourier
    ? gaussianFourier(p.at('time_proj'), width / 2, { scale: 1, log: false, cosineFirst: config.flip_sin_to_cos })
    : sinusoid(config, first)
  const activation = config.act_fn
  const embedTime = timeEmbedding(p.at('time_embedding'), encoded, width, {
    activation,
    after: config.timestep_post_act ?? undefined,
    conditionWidth: config.time_cond_proj_dim ?? undefined,
  })
  const embedClass = classEmbedding(p.at('class_embedding'), config, { encode, encoded, width, activation })
  const embedAddition = additionEmbedding(p.at('add_embedding'), config, width)
  const projectContext = contextProjection(p.at('encoder_hid_proj'), config)
  const act = config.time_embedding_act_fn ? activations[config.time_embedding_act_fn] : (x: Tensor) => x

  return {
    timeWidth: config.class_embeddings_concat ? 2 * width : width,
    hint: config.addition_embed_type === 'image_hint' ? hintEncoder(p.at('add_embedding', 'input_hint_block')) : undefined,
    embed: (timestep, context, extras) => {
      const { B, M } = dims(context, 'B M D')
      dims(timestep, 'B', { B })
      refuseUnused(config, extras)
      const times = embedTime(encode(timestep), extras.timestepCondition)
      const classes = embedClass(extras.classLabels)
      const classed = classes ? (config.class_embeddings_concat ? concat([times, classes], 1) : times.add(classes)) : times
      const addition = embedAddition?.(context, extras)
      const rawTime = act(addition ? classed.add(addition) : classed)
      const mask = extras.contextMask?.sub(1).mul(10000).reshape([B, 1, 1, M])
      const projected = projectContext(context, extras)
      return {
        time: activations[config.act_fn](rawTime),
        rawTime,
        context: projected,
        regions: extras.regions && regionScores(extras.regions, projected.shape[1] as number),
        mask,
        imagePrompts: extras.imagePrompts,
        identity: extras.identity,
        freeU: extras.freeU,
      }
    },
  }
}

const sinusoid =
  (config: UNet2DConditionConfig, width: number): Layer =>
  (t) =>
    sinusoidal(t, width, { cosineFirst: config.flip_sin_to_cos, frequencyShift: config.freq_shift })

function needed(extras: Extras, name: 'textEmbeds' | 'timeIds' | 'imageEmbeds' | 'hint', reason: string): Tensor {
  const given = extras[name]
  if (!given) throw new ArgumentError(`the network needs ${name}: its config has ${reason}`)
  return given
}

/** A condition that the network would ignore is an error, not a silent difference. */
function refuseUnused(config: UNet2DConditionConfig, extras: Extras): void {
  const { addition_embed_type: addition, encoder_hid_dim_type: context } = config
  const takes = {
    textEmbeds: addition === 'text_time' || addition === 'text_image',
    timeIds: addition === 'text_time',
    imageEmbeds: (addition ?? '').includes('image') || (context ?? '').includes('image'),
    hint: addition === 'image_hint',
  }
  for (const [name, taken] of Object.entries(takes)) {
    if (!taken && extras[name as keyof typeof takes]) {
      throw new ArgumentError(
        `${name} are given, and neither addition_embed_type nor encoder_hid_dim_type of the config uses them`,
      )
    }
  }
}

/** What is added to the time embedding: [B, width]. */
function additionEmbedding(p: Params, config: UNet2DConditionConfig, width: number) {
  const type = config.addition_embed_type
  const reason = `addition_embed_type ${JSON.stringify(type)}`
  const contextWidth = contextWidthOf(config)
  switch (type) {
    case 'text':
      return pooledText(p, config.encoder_hid_dim ?? contextWidth, width, config.addition_embed_type_num_heads)
    case 'text_image': {
      const projectText = linear(p.at('text_proj'), contextWidth, width)
      const norm = layerNorm(p.at('text_norm'), width)
      const projectImage = linear(p.at('image_proj'), contextWidth, width)
      return (_: Tensor, extras: Extras) =>
        projectImage(needed(extras, 'imageEmbeds', reason)).add(norm(projectText(needed(extras, 'textEmbeds', reason))))
    }
    case 'text_time': {
      const encode = sinusoid(config, config.addition_time_embed_dim as number)
      const embed = timeEmbedding(p, config.projection_class_embeddings_input_dim as number, width)
      return (_: Tensor, extras: Extras) => {
        const text = needed(extras, 'textEmbeds', reason)
        const { B, N } = dims(needed(extras, 'timeIds', reason), 'B N', { B: text.shape[0] as number })
        const sizes = encode((extras.timeIds as Tensor).reshape([B * N])).reshape([B, -1])
        return embed(concat([text, sizes], 1))
      }
    }
    case 'image':
    case 'image_hint': {
      const project = linear(p.at('image_proj'), config.encoder_hid_dim as number, width)
      const norm = layerNorm(p.at('image_norm'), width)
      return (_: Tensor, extras: Extras) => norm(project(needed(extras, 'imageEmbeds', reason)))
    }
    case null:
      return undefined
  }
}

/** A control image as channels of the sample, an eighth as large: [B, 3, 8·H, 8·W] → [B, 4, H, W]. */
function hintEncoder(p: Params) {
  const widths = [3, 16, 16, 32, 32, 96, 96, 256, HINT_CHANNELS]
  const convs = widths.slice(1).map((to, i) => {
    const stride = [2, 4, 6].includes(i) ? 2 : 1
    return conv(p.at(2 * i), widths[i] as number, to, 3, { padding: 1, stride })
  })
  return (extras: Extras): Tensor =>
    convs.reduce((x, layer, i) => layer(i === 0 ? x : x.silu()), needed(extras, 'hint', 'addition_embed_type "image_hint"'))
}

/** Channels of the sample that a control image fills. */
export const HINT_CHANNELS = 4

/** The context's mean attends to the context: [B, M, contextWidth] → [B, width] (Saharia et al. 2022b, appendix B). */
export function pooledText(p: Params, contextWidth: number, width: number, heads: number): Layer {
  const normIn = layerNorm(p.at('norm1'), contextWidth)
  const pool = p.at('pool')
  const position = pool.get('positional_embedding', [1, contextWidth], normal(contextWidth ** -0.5))
  const [toQ, toK, toV] = ['q_proj', 'k_proj', 'v_proj'].map((name) => linear(pool.at(name), contextWidth, contextWidth)) as [
    Layer,
    Layer,
    Layer,
  ]
  const project = linear(p.at('proj'), contextWidth, width)
  const normOut = layerNorm(p.at('norm2'), width)
  return (context) => {
    const x = normIn(context)
    const token = x.mean(1, true).add(position)
    const all = concat([token, x], 1)
    return normOut(project(attention(toQ(token), toK(all), toV(all), { heads }).squeeze(1)))
  }
}

/** The context as the attentions take it. */
function contextProjection(p: Params, config: UNet2DConditionConfig) {
  const width = contextWidthOf(config)
  const inputs = config.encoder_hid_dim as number
  const type = config.encoder_hid_dim_type ?? (config.encoder_hid_dim === null ? null : 'text_proj')
  const reason = `encoder_hid_dim_type ${JSON.stringify(type)}`
  switch (type) {
    case 'text_proj':
      return linear(p, inputs, width)
    case 'text_image_proj': {
      const image = linear(p.at('image_embeds'), width, 10 * width)
      const text = linear(p.at('text_proj'), inputs, width)
      return (context: Tensor, extras: Extras) => {
        const tokens = image(needed(extras, 'imageEmbeds', reason)).reshape([-1, 10, width])
        return concat([tokens, text(context)], 1)
      }
    }
    case 'image_proj': {
      const image = linear(p.at('image_embeds'), inputs, 32 * width)
      const norm = layerNorm(p.at('norm'), width)
      return (_: Tensor, extras: Extras) => norm(image(needed(extras, 'imageEmbeds', reason)).reshape([-1, 32, width]))
    }
    case null:
      return (context: Tensor) => context
  }
}
