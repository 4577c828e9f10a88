import type { Recipe } from '../recipe.ts'
import { ddpmFaces32 } from './ddpm-faces-32.ts'
import { ddpmStickers32 } from './ddpm-stickers-32.ts'
import { heartbeat } from './heartbeat.ts'
import { scoreStickers32 } from './score-stickers-32.ts'
import { speechesAr, speechesBd3, speechesClassifier, speechesMdlm, speechesSedd, speechesSsdLm } from './speeches.ts'
import { stickerClassifier32 } from './sticker-classifier-32.ts'
import { stickersClip } from './stickers-clip.ts'
import { stickersControlnetLayout, stickersControlnetOutline } from './stickers-controlnet.ts'
import { stickersDalle } from './stickers-dalle.ts'
import { stickersDit } from './stickers-dit.ts'
import { stickersDvae } from './stickers-dvae.ts'
import { stickersGlide, stickersGlideClip, stickersGlideInpaint } from './stickers-glide.ts'
import { stickersImagen, stickersImagen2, stickersImagen64, stickersImagen256 } from './stickers-imagen.ts'
import { stickersJudge } from './stickers-judge.ts'
import { stickersMmdit } from './stickers-mmdit.ts'
import { stickersSr3 } from './stickers-sr3.ts'
import { stickersT2i } from './stickers-t2i.ts'
import { stickersT5 } from './stickers-t5.ts'
import { stickersUnclip } from './stickers-unclip.ts'
import { stickersUnclipArPrior } from './stickers-unclip-ar-prior.ts'
import { stickersUnclipPrior } from './stickers-unclip-prior.ts'
import { stickersVae } from './stickers-vae.ts'
import { stickersVideo } from './stickers-video.ts'
import { stickersVideoVae } from './stickers-video-vae.ts'
import { stickersX4 } from './stickers-x4.ts'
import { stickersX4Gan } from './stickers-x4-gan.ts'
import { stickersX4Rrdb } from './stickers-x4-rrdb.ts'
import { swissRoll } from './swiss-roll.ts'

/** The recipes that `langevin train` knows by name, and the bundled models among them. */
export const recipes: Readonly<Record<string, Recipe>> = {
  'ddpm-stickers-32': ddpmStickers32,
  'ddpm-faces-32': ddpmFaces32,
  'score-stickers-32': scoreStickers32,
  'sticker-classifier-32': stickerClassifier32,
  'stickers-vae': stickersVae,
  'stickers-clip': stickersClip,
  'stickers-t2i': stickersT2i,
  'stickers-controlnet-outline': stickersControlnetOutline,
  'stickers-controlnet-layout': stickersControlnetLayout,
  'stickers-dit': stickersDit,
  'stickers-t5': stickersT5,
  'stickers-mmdit': stickersMmdit,
  'stickers-judge': stickersJudge,
  'stickers-dvae': stickersDvae,
  'stickers-dalle': stickersDalle,
  'swiss-roll': swissRoll,
  'stickers-video-vae': stickersVideoVae,
  'stickers-video': stickersVideo,
  'stickers-x4': stickersX4,
  'stickers-x4-rrdb': stickersX4Rrdb,
  'stickers-x4-gan': stickersX4Gan,
  'stickers-sr3': stickersSr3,
  'stickers-imagen': stickersImagen,
  'stickers-imagen-64': stickersImagen64,
  'stickers-imagen-256': stickersImagen256,
  'stickers-imagen2': stickersImagen2,
  'stickers-glide': stickersGlide,
  'stickers-glide-inpaint': stickersGlideInpaint,
  'stickers-glide-clip': stickersGlideClip,
  'stickers-unclip': stickersUnclip,
  'stickers-unclip-prior': stickersUnclipPrior,
  'stickers-unclip-ar-prior': stickersUnclipArPrior,
  'speeches-mdlm': speechesMdlm,
  'speeches-sedd': speechesSedd,
  'speeches-bd3': speechesBd3,
  'speeches-ar': speechesAr,
  'speeches-ssd-lm': speechesSsdLm,
  'speeches-classifier': speechesClassifier,
  heartbeat,
}
