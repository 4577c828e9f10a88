import { ddpm } from './ddpm/page.ts'
import type { Page } from './page.ts'
import { stableDiffusionPages } from './stable-diffusion/pages.ts'

/** Every page. A new family is one line here. */
export const pages: readonly Page[] = [...stableDiffusionPages, ddpm]
