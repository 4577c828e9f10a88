import {
  autoencoderKL,
  autoencoderKLConfig,
  autoencoderTiny,
  autoencoderTinyConfig,
  autoregressivePrior,
  autoregressivePriorConfig,
  classifier,
  classifierConfig,
  clip,
  clipConfig,
  clipText,
  clipTextConfig,
  clipTextWithProjection,
  clipVisionConfig,
  clipVisionWithProjection,
  cogVideoXConfig,
  cogVideoXTransformer,
  cogVideoXVae,
  cogVideoXVaeConfig,
  controlNet,
  controlNetConfig,
  dalle,
  dalleConfig,
  detector,
  detectorConfig,
  discreteVAE,
  discreteVAEConfig,
  ditConfig,
  ditTransformer,
  dream,
  dreamConfig,
  efficientUnet,
  efficientUnetConfig,
  embeddingNormalizer,
  embeddingNormalizerConfig,
  glide,
  glideClipConfig,
  glideClipImage,
  glideClipText,
  glideConfig,
  isClipBuffer,
  isDalleBuffer,
  isRotaryBuffer,
  isSwinBuffer,
  latteConfig,
  latteTransformer,
  llada,
  lladaConfig,
  mdlm,
  mdlmConfig,
  mmditConfig,
  mmditTransformer,
  openAIDiscreteVAE,
  openAIDiscreteVAEConfig,
  pixartConfig,
  pixartTransformer,
  priorConfig,
  priorTransformer,
  referenceEncoder,
  referenceEncoderConfig,
  renameClipText,
  renameClipVision,
  renameDalle,
  robertaClassifier,
  robertaConfig,
  rrdbNet,
  rrdbNetConfig,
  sd3ControlNet,
  sd3ControlNetConfig,
  seddConfig,
  srvggConfig,
  srvggNet,
  ssdLm,
  ssdLmConfig,
  swinIr,
  swinIrConfig,
  t2iAdapter,
  t2iAdapterConfig,
  t5Config,
  t5Encoder,
  t5EncoderWeights,
  unclipTextConfig,
  unclipTextProjection,
  unet2d,
  unet2dCondition,
  unet2dConditionConfig,
  unet2dConfig,
  videoDit,
  videoDitConfig,
  videoVae,
  videoVaeConfig,
  vqModel,
  vqModelConfig,
  wanConfig,
  wanTransformer,
  wanVae,
  wanVaeConfig,
} from '../../models/index.ts'
import type { Params } from '../../nn/params.ts'
import { renameAttention } from '../../nn/spatial-attention.ts'
import type { Weights } from '../../runtime/weights.ts'

/** What opens the networks of one class of diffusers or transformers. */
export interface NetworkClass<C, F> {
  /** Reads `config.json`. @throws ModelConfigError that names the place */
  readonly config: (fields: unknown, place?: string) => C
  /** Declares the parameters, whose names are the checkpoint's keys, and gives the network's function. */
  readonly build: (p: Params, config: C) => F
  /** Keys of older checkpoints to today's. */
  readonly rename?: (key: string) => string
  /** Buffers in checkpoints that no network asks for. */
  readonly ignore?: (key: string) => boolean
  /** Which of a file's weights are the network's, where keys alone do not tell. */
  readonly select?: (weights: Weights) => Weights
}

/** Positions on the grid of patches, which are computed. */
const isPositionBuffer = (key: string) => key === 'pos_embed.pos_embed'

/** Rotary frequencies, and the interval of times that block diffusion was trained on. */
const isTextBuffer = (key: string) => isRotaryBuffer(key) || /^sampling_eps_(min|max)$/.test(key)

/** Positions, a head that is the vocabulary's table again, and a pooler that nothing reads. */
const isRobertaBuffer = (key: string) => /\.position_ids$|^lm_head\.decoder\.|^roberta\.pooler\./.test(key)

const entry = <C, F>(spec: NetworkClass<C, F>) => spec

/** Every class of networks that can be opened. A new network is one line here; then any page may name it among its parts. */
export const networkClasses = {
  UNet2DModel: entry({ config: unet2dConfig, build: (p, config) => unet2d(p, config), rename: renameAttention }),
  UNet2DConditionModel: entry({ config: unet2dConditionConfig, build: (p, config) => unet2dCondition(p, config) }),
  ReferenceEncoder: entry({ config: referenceEncoderConfig, build: referenceEncoder }),
  EfficientUNet: entry({ config: efficientUnetConfig, build: (p, config) => efficientUnet(p, config) }),
  ControlNetModel: entry({ config: controlNetConfig, build: controlNet }),
  SD3ControlNetModel: entry({ config: sd3ControlNetConfig, build: sd3ControlNet }),
  T2IAdapter: entry({ config: t2iAdapterConfig, build: t2iAdapter }),
  AutoencoderKL: entry({ config: autoencoderKLConfig, build: autoencoderKL, rename: renameAttention }),
  AutoencoderTiny: entry({ config: autoencoderTinyConfig, build: autoencoderTiny, rename: renameAttention }),
  VQModel: entry({ config: vqModelConfig, build: vqModel, rename: renameAttention }),
  CLIPTextModel: entry({ config: clipTextConfig, build: clipText, rename: renameClipText, ignore: isClipBuffer }),
  CLIPTextModelWithProjection: entry({
    config: clipTextConfig,
    build: clipTextWithProjection,
    rename: renameClipText,
    ignore: isClipBuffer,
  }),
  CLIPVisionModelWithProjection: entry({
    config: clipVisionConfig,
    build: clipVisionWithProjection,
    rename: renameClipVision,
    ignore: isClipBuffer,
  }),
  DiTTransformer2DModel: entry({ config: ditConfig, build: ditTransformer, ignore: isPositionBuffer }),
  PixArtTransformer2DModel: entry({ config: pixartConfig, build: pixartTransformer, ignore: isPositionBuffer }),
  LatteTransformer3DModel: entry({ config: latteConfig, build: latteTransformer, ignore: isPositionBuffer }),
  CogVideoXTransformer3DModel: entry({ config: cogVideoXConfig, build: cogVideoXTransformer }),
  WanTransformer3DModel: entry({ config: wanConfig, build: wanTransformer }),
  AutoencoderKLCogVideoX: entry({ config: cogVideoXVaeConfig, build: cogVideoXVae }),
  AutoencoderKLWan: entry({ config: wanVaeConfig, build: wanVae }),
  VideoDiTModel: entry({ config: videoDitConfig, build: videoDit }),
  CausalVideoVAE: entry({ config: videoVaeConfig, build: videoVae }),
  SD3Transformer2DModel: entry({ config: mmditConfig, build: mmditTransformer }),
  T5EncoderModel: entry({ config: t5Config, build: t5Encoder, select: t5EncoderWeights }),
  UMT5EncoderModel: entry({ config: t5Config, build: t5Encoder, select: t5EncoderWeights }),
  LLaDAModelLM: entry({ config: lladaConfig, build: llada, ignore: isRotaryBuffer }),
  DreamModel: entry({ config: dreamConfig, build: dream, ignore: isRotaryBuffer }),
  MDLM: entry({ config: mdlmConfig, build: mdlm, ignore: isTextBuffer }),
  BD3LM: entry({ config: mdlmConfig, build: mdlm, ignore: isTextBuffer }),
  SSDLM: entry({
    config: ssdLmConfig,
    build: ssdLm,
    // As the reference's data-parallel runs save them.
    rename: (key) => key.replace(/^(\w+\.)?module\./, '$1'),
    ignore: isRobertaBuffer,
  }),
  RobertaForSequenceClassification: entry({ config: robertaConfig, build: robertaClassifier, ignore: isRobertaBuffer }),
  AR: entry({ config: mdlmConfig, build: mdlm, ignore: isTextBuffer }),
  SEDD: entry({ config: seddConfig, build: mdlm, ignore: isTextBuffer }),
  GlideText2Im: entry({ config: glideConfig, build: glide }),
  GlideClipImage: entry({ config: glideClipConfig, build: glideClipImage }),
  GlideClipText: entry({ config: glideClipConfig, build: glideClipText }),
  AutoregressivePrior: entry({ config: autoregressivePriorConfig, build: autoregressivePrior }),
  PriorTransformer: entry({ config: priorConfig, build: priorTransformer }),
  UnCLIPTextProjModel: entry({ config: unclipTextConfig, build: unclipTextProjection }),
  StableUnCLIPImageNormalizer: entry({ config: embeddingNormalizerConfig, build: embeddingNormalizer }),
  RRDBNet: entry({ config: rrdbNetConfig, build: rrdbNet }),
  SRVGGNetCompact: entry({ config: srvggConfig, build: srvggNet }),
  SwinIR: entry({ config: swinIrConfig, build: swinIr, ignore: isSwinBuffer }),
  OpenAIDiscreteVAE: entry({ config: openAIDiscreteVAEConfig, build: openAIDiscreteVAE }),
  DiscreteVAE: entry({ config: discreteVAEConfig, build: discreteVAE }),
  DALLE: entry({ config: dalleConfig, build: dalle, rename: renameDalle, ignore: isDalleBuffer }),
  CLIPModel: entry({ config: clipConfig, build: clip, ignore: isClipBuffer }),
  ResidualClassifier: entry({ config: classifierConfig, build: classifier }),
  CentreDetector: entry({ config: detectorConfig, build: detector }),
} as const

export type ClassName = keyof typeof networkClasses
export type ConfigOf<N extends ClassName> = (typeof networkClasses)[N] extends NetworkClass<infer C, infer _F> ? C : never
export type BuiltOf<N extends ClassName> = (typeof networkClasses)[N] extends NetworkClass<infer _C, infer F> ? F : never

/** The function of a network of this class and config, its parameters declared in `p`. */
export function build<N extends ClassName>(className: N, p: Params, config: ConfigOf<N>): BuiltOf<N> {
  return (networkClasses[className] as unknown as NetworkClass<ConfigOf<N>, BuiltOf<N>>).build(p, config)
}
