import type { RecipeType } from '../recipe.ts'
import { vaeType } from './autoencoder/autoencoder.ts'
import { classToImageType } from './class-to-image/job.ts'
import { classifierType } from './classifier.ts'
import { clipType } from './clip.ts'
import { controlnetType } from './controlnet/job.ts'
import { dalleType } from './dalle/job.ts'
import { ddpmType } from './ddpm.ts'
import { discreteAutoencoderType } from './discrete-autoencoder/job.ts'
import { glideType } from './glide/job.ts'
import { noisedClipType } from './glide/noised-clip.ts'
import { heartbeatType } from './heartbeat.ts'
import { imagenType } from './imagen/job.ts'
import { judgeType } from './judge.ts'
import { arType, bd3lmType, mdlmType, seddType } from './language/job.ts'
import { rectifiedFlowType } from './rectified-flow/job.ts'
import { scoreType } from './score.ts'
import { sr3Type } from './sr3/job.ts'
import { textClassifierType } from './ssd-lm/classifier.ts'
import { ssdLmType } from './ssd-lm/job.ts'
import { swissRollType } from './swiss-roll.ts'
import { t5Type } from './t5/t5.ts'
import { textToImageType } from './text-to-image/job.ts'
import { unclipArPriorType } from './unclip/ar-prior.ts'
import { unclipDecoderType } from './unclip/decoder.ts'
import { unclipPriorType } from './unclip/prior.ts'
import { upscalerType } from './upscaler/upscaler.ts'
import { videoVaeType } from './video/autoencoder.ts'
import { videoFlowType } from './video/job.ts'

/** The types of models that can be trained. */
export const recipeTypes: readonly RecipeType[] = [
  ddpmType,
  scoreType,
  classifierType,
  vaeType,
  clipType,
  t5Type,
  textToImageType,
  classToImageType,
  controlnetType,
  rectifiedFlowType,
  judgeType,
  discreteAutoencoderType,
  dalleType,
  upscalerType,
  imagenType,
  sr3Type,
  glideType,
  noisedClipType,
  unclipPriorType,
  unclipArPriorType,
  unclipDecoderType,
  mdlmType,
  seddType,
  bd3lmType,
  arType,
  ssdLmType,
  textClassifierType,
  swissRollType,
  heartbeatType,
  videoVaeType,
  videoFlowType,
]
