import { cogVideoX } from './cogvideox/page.ts'
import { dalle } from './dalle/page.ts'
import { ddpm } from './ddpm/page.ts'
import { deepFloydIf } from './deepfloyd-if/page.ts'
import { deepFloydIfSuperResolution } from './deepfloyd-if/super-resolution.ts'
import { dit } from './dit/page.ts'
import { glidePage } from './glide/page.ts'
import { imagen2 } from './imagen2/page.ts'
import { kandinsky } from './kandinsky/page.ts'
import { kandinskyPriorPage } from './kandinsky/prior-page.ts'
import { latentUpscale } from './latent-upscale/page.ts'
import { latte } from './latte/page.ts'
import type { Page } from './page.ts'
import { pixart } from './pixart/page.ts'
import { scoreSde } from './score-sde/page.ts'
import { sr3 } from './sr3/page.ts'
import { stableDiffusionPages } from './stable-diffusion/pages.ts'
import { stableDiffusion3 } from './stable-diffusion-3/page.ts'
import { text } from './text/page.ts'
import { ssdLmPage } from './text/ssd-lm.ts'
import { codePriorPage } from './unclip/code-prior-page.ts'
import { latentUnclip } from './unclip/latent-page.ts'
import { unclip, unclipVariation } from './unclip/page.ts'
import { stableUnclip, stableUnclipImage } from './unclip/stable-page.ts'
import { videoFlow } from './video-flow/page.ts'
import { wan } from './wan/page.ts'

/** Every page. A new family is one line here. */
export const pages: readonly Page[] = [
  ...stableDiffusionPages,
  stableDiffusion3,
  ddpm,
  scoreSde,
  dit,
  pixart,
  latte,
  cogVideoX,
  wan,
  videoFlow,
  dalle,
  deepFloydIf,
  deepFloydIfSuperResolution,
  text,
  ssdLmPage,
  unclip,
  unclipVariation,
  stableUnclip,
  stableUnclipImage,
  kandinsky,
  kandinskyPriorPage,
  latentUpscale,
  imagen2,
  codePriorPage,
  latentUnclip,
  sr3,
  glidePage,
]
