import type { NdArray } from '../runtime/ndarray.ts'
import type { FileTensor, Weights } from '../runtime/weights.ts'
import { ditScheduler, ditTransformerConfig } from './dit-keys.ts'
import { readTensor } from './safetensors.ts'
import type { Family, SingleFile } from './single-file.ts'
import { sd3Scheduler, sd3TransformerConfig, t5EncoderConfig } from './single-file-sd3.ts'
import { columns, count, rows } from './single-file-values.ts'

/** What a pipeline does with a file's U-Net, by the channels that it takes beside the latents' four. */
export type Task = 'text-to-image' | 'inpaint' | 'pix2pix' | 'upscale' | 'depth' | 'class-to-image'

const tasks: Readonly<Record<number, Task>> = { 4: 'text-to-image', 5: 'depth', 7: 'upscale', 8: 'pix2pix', 9: 'inpaint' }

const pipelines: Readonly<Record<'plain' | 'xl' | 'sd3', Readonly<Partial<Record<Task, string>>>>> = {
  plain: {
    'text-to-image': 'StableDiffusionPipeline',
    inpaint: 'StableDiffusionInpaintPipeline',
    pix2pix: 'StableDiffusionInstructPix2PixPipeline',
    upscale: 'StableDiffusionUpscalePipeline',
    depth: 'StableDiffusionDepth2ImgPipeline',
  },
  xl: {
    'text-to-image': 'StableDiffusionXLPipeline',
    inpaint: 'StableDiffusionXLInpaintPipeline',
    pix2pix: 'StableDiffusionXLInstructPix2PixPipeline',
  },
  sd3: { 'text-to-image': 'StableDiffusion3Pipeline', inpaint: 'StableDiffusion3InpaintPipeline' },
}

/** What a single file is, as far as it can be told. */
export interface SingleFileKind {
  readonly family: Family
  readonly task: Task
  /** diffusers' class. */
  readonly pipeline: string
  readonly prediction: 'epsilon' | 'v_prediction' | 'flow_prediction'
  /**
   * False where nothing in the file tells the prediction: Stable Diffusion 2's own models of 512 pixels predict the noise and those
   * of 768 the velocity, with the same tensors. The choice is then diffusers', the velocity; ask the user where it matters.
   */
  readonly predictionKnown: boolean
  /** What `model_index.json` of diffusers' folder holds beside the components. */
  readonly options: Readonly<Record<string, unknown>>
  /** Fields of the autoencoder's config that no shape tells: of the file's own, or of another that takes its place. */
  readonly autoencoder: Readonly<Record<string, unknown>>
  /** What was left unread of the file, in words for its user. */
  readonly warnings: readonly string[]
  /** Configurations by component: `unet` or `transformer`, `vae`, `text_encoder`, `text_encoder_2`, `text_encoder_3`, `scheduler`. */
  readonly configs: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/**
 * What a file is, from its tensors' names and shapes.
 *
 * @param original as the file has them: some fine-tunes mark their prediction there
 */
export function kindOf({ family, components, unknown = [] }: SingleFile, original: Weights): SingleFileKind {
  const warnings = unknown.length > 0 ? [`keys without a place were left: ${few(unknown)}`] : []
  if (family === 'dit')
    return {
      ...{ family, task: 'class-to-image', pipeline: 'DiTPipeline', prediction: 'epsilon', predictionKnown: true, options: {} },
      ...{ autoencoder: { scaling_factor: 0.18215 }, warnings },
      configs: {
        transformer: ditTransformerConfig(components.get('transformer') as Weights, original),
        scheduler: ditScheduler,
      },
    }
  const unet = components.get('unet') ?? new Map()
  const channels = unet.get('conv_in.weight')?.shape[1] ?? 4
  const sd3 = family === 'sd3'
  const masked = sd3 && components.get('transformer')?.get('pos_embed.proj.weight')?.shape[1] === 33
  const task = sd3 ? (masked ? 'inpaint' : 'text-to-image') : (tasks[channels] ?? 'text-to-image')
  const xl = family.startsWith('xl')
  const refiner = family === 'xl-refiner' && task === 'text-to-image'
  const known = !(family === 'sd2' && task === 'text-to-image') || original.has('v_pred')
  const velocity = original.has('v_pred') || (family === 'sd2' && (task === 'text-to-image' || task === 'upscale'))
  const prediction = sd3 ? 'flow_prediction' : velocity ? 'v_prediction' : 'epsilon'
  const edm = playground(original)
  const scaling = sd3 ? 1.5305 : edm ? 0.5 : xl ? 0.13025 : task === 'upscale' ? 0.08333 : 0.18215
  const autoencoder = { scaling_factor: scaling, ...(sd3 && { shift_factor: 0.0609 }), ...edm }
  const configs: Record<string, Record<string, unknown>> = {
    scheduler: edm
      ? { _class_name: 'EDMDPMSolverMultistepScheduler' }
      : schedulerConfig(family, prediction, original.has('ztsnr')),
  }
  for (const [name, weights] of components) {
    if (name === 'transformer') configs[name] = sd3TransformerConfig(weights)
    else if (name === 'text_encoder_3') configs[name] = t5EncoderConfig(weights)
    else if (name === 'unet') configs[name] = unetConfig(weights, family, task)
    else if (name === 'vae') configs[name] = { ...vaeConfig(weights, scaling, xl), ...autoencoder }
    else configs[name] = textConfig(weights)
  }
  const pipeline = refiner ? 'StableDiffusionXLImg2ImgPipeline' : pipelines[sd3 ? 'sd3' : xl ? 'xl' : 'plain'][task]
  return {
    family,
    task,
    pipeline: pipeline as string,
    prediction,
    predictionKnown: known,
    options: {
      requires_aesthetics_score: family === 'xl-refiner',
      ...(xl && { force_zeros_for_empty_prompt: family !== 'xl-refiner' }),
    },
    autoencoder,
    warnings,
    configs,
  }
}

const few = (keys: readonly string[]) => `${keys.slice(0, 5).join(', ')}${keys.length > 5 ? ` and ${keys.length - 5} more` : ''}`

/** Playground 2.5 is an XL in the formulation of Karras et al. (2022), with latents normalised channel by channel. */
function playground(original: Weights): { latents_mean: number[]; latents_std: number[] } | undefined {
  const [mean, std] = ['edm_mean', 'edm_std'].map((key) => original.get(key))
  if (!mean || !std) return undefined
  const numbers = (value: NdArray | FileTensor) => Array.from(readTensor(value).cast('f32').data)
  return { latents_mean: numbers(mean), latents_std: numbers(std) }
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

/** `UNet2DConditionModel`'s fields. Heads cannot be told from shapes: SD 1 and the upscaler have 8 a level, the others 64 channels a head. */
function unetConfig(weights: Weights, family: Family, task: Task): Record<string, unknown> {
  const levels = upTo(count(weights, /^down_blocks\.(\d+)\./))
  const layers = count(weights, /^down_blocks\.0\.resnets\.(\d+)\./)
  const widths = levels.map((i) => rows(weights, `down_blocks.${i}.resnets.0.conv1.weight`))
  const depthOf = (head: string) => count(weights, new RegExp(`^${head}\\.attentions\\.0\\.transformer_blocks\\.(\\d+)\\.`))
  const depths = levels.map((i) => depthOf(`down_blocks.${i}`))
  const attended = depths.map((depth) => depth > 0)
  const middle = depthOf('mid_block')
  const depth = depths.map((n, i) => n || (i === depths.length - 1 ? middle : 1))
  const firstAttended = `down_blocks.${attended.indexOf(true)}.attentions.0`
  const context = columns(weights, `${firstAttended}.transformer_blocks.0.attn2.to_k.weight`)
  const only = levels.map((i) => {
    const key = `down_blocks.${i}.attentions.0.transformer_blocks.0.attn1.to_k.weight`
    return weights.has(key) && columns(weights, key) === context && context !== widths[i]
  })
  const added = columns(weights, 'add_embedding.linear_1.weight')
  const classes = rows(weights, 'class_embedding.weight')
  return {
    _class_name: 'UNet2DConditionModel',
    sample_size: family.startsWith('xl') || task === 'upscale' ? 128 : family === 'sd2' && task === 'text-to-image' ? 96 : 64,
    in_channels: columns(weights, 'conv_in.weight'),
    out_channels: rows(weights, 'conv_out.weight'),
    down_block_types: attended.map((on) => (on ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    up_block_types: attended.toReversed().map((on) => (on ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    block_out_channels: widths,
    layers_per_block: layers,
    transformer_layers_per_block: depth.every((n) => n === depth[0]) ? depth[0] : depth,
    cross_attention_dim: context,
    attention_head_dim: family === 'sd1' || task === 'upscale' ? 8 : widths.map((width) => Math.max(1, Math.floor(width / 64))),
    use_linear_projection: weights.get(`${firstAttended}.proj_in.weight`)?.shape.length === 2,
    only_cross_attention: only.includes(true) ? only : false,
    num_class_embeds: classes ?? null,
    time_cond_proj_dim: columns(weights, 'time_embedding.cond_proj.weight') ?? null,
    addition_embed_type: added === undefined ? null : 'text_time',
    addition_time_embed_dim: added === undefined ? null : 256,
    projection_class_embeddings_input_dim: added ?? null,
  }
}

/** `ControlNetModel`'s fields: those of its half of a U-Net, and the widths of the hint's encoder. */
export function controlNetConfig(weights: Weights): Record<string, unknown> {
  const context = [...weights].find(([key]) => key.endsWith('attn2.to_k.weight'))?.[1].shape[1]
  const family: Family = context === 768 ? 'sd1' : context === 2048 ? 'xl-base' : 'sd2'
  const { sample_size, out_channels, up_block_types, time_cond_proj_dim, ...fields } = unetConfig(
    weights,
    family,
    'text-to-image',
  )
  const hint = 'controlnet_cond_embedding'
  const blocks = upTo(count(weights, /^controlnet_cond_embedding\.blocks\.(\d+)\./))
  return {
    ...fields,
    _class_name: 'ControlNetModel',
    cross_attention_dim: context,
    use_linear_projection: [...weights].some(([key, { shape }]) => key.endsWith('.proj_in.weight') && shape.length === 2),
    conditioning_channels: columns(weights, `${hint}.conv_in.weight`),
    conditioning_embedding_out_channels: [
      rows(weights, `${hint}.conv_in.weight`),
      ...blocks.filter((i) => i % 2 === 1).map((i) => rows(weights, `${hint}.blocks.${i}.weight`)),
    ],
  }
}

/** `AutoencoderKL`'s fields. */
export function vaeConfig(weights: Weights, scaling: number, xl: boolean): Record<string, unknown> {
  const levels = upTo(count(weights, /^encoder\.down_blocks\.(\d+)\./))
  return {
    _class_name: 'AutoencoderKL',
    in_channels: columns(weights, 'encoder.conv_in.weight'),
    out_channels: rows(weights, 'decoder.conv_out.weight'),
    down_block_types: levels.map(() => 'DownEncoderBlock2D'),
    up_block_types: levels.map(() => 'UpDecoderBlock2D'),
    block_out_channels: levels.map((i) => rows(weights, `encoder.down_blocks.${i}.resnets.0.conv1.weight`)),
    layers_per_block: count(weights, /^encoder\.down_blocks\.0\.resnets\.(\d+)\./),
    latent_channels: columns(weights, 'decoder.conv_in.weight'),
    use_quant_conv: weights.has('quant_conv.weight'),
    use_post_quant_conv: weights.has('post_quant_conv.weight'),
    sample_size: xl ? 1024 : 512,
    scaling_factor: scaling,
    force_upcast: xl,
  }
}

/** `CLIPTextModel`'s fields: OpenAI's large model has the quick GELU, OpenCLIP's the exact one; every head has 64 channels. */
function textConfig(weights: Weights): Record<string, unknown> {
  const width = columns(weights, 'text_model.embeddings.token_embedding.weight')
  return {
    model_type: 'clip_text_model',
    vocab_size: rows(weights, 'text_model.embeddings.token_embedding.weight'),
    hidden_size: width,
    intermediate_size: rows(weights, 'text_model.encoder.layers.0.mlp.fc1.weight'),
    num_hidden_layers: count(weights, /^text_model\.encoder\.layers\.(\d+)\./),
    num_attention_heads: Math.max(1, Math.floor(width / 64)),
    max_position_embeddings: rows(weights, 'text_model.embeddings.position_embedding.weight'),
    hidden_act: width > 768 ? 'gelu' : 'quick_gelu',
    projection_dim: rows(weights, 'text_projection.weight') ?? width,
    eos_token_id: 49407,
  }
}

/** The scheduler that each family was published with. */
function schedulerConfig(family: Family, prediction: string, zeroTerminal: boolean): Record<string, unknown> {
  if (family === 'sd3') return sd3Scheduler
  const common = {
    beta_schedule: 'scaled_linear',
    beta_start: 0.00085,
    beta_end: 0.012,
    num_train_timesteps: 1000,
    prediction_type: prediction,
    steps_offset: 1,
    ...(zeroTerminal && { rescale_betas_zero_snr: true, timestep_spacing: 'trailing' }),
  }
  if (family === 'sd1' && !zeroTerminal) {
    return { _class_name: 'PNDMScheduler', ...common, set_alpha_to_one: false, skip_prk_steps: true }
  }
  if (family.startsWith('xl')) return { timestep_spacing: 'leading', ...common, _class_name: 'EulerDiscreteScheduler' }
  return { _class_name: 'DDIMScheduler', ...common, clip_sample: false, set_alpha_to_one: false }
}
