import { createRequire } from 'node:module'
import type Sharp from 'sharp'

let loaded: typeof Sharp | undefined

/** libvips, loaded when the first picture is read or written: a program that only calculates does not wait for it. */
export const sharp = (): typeof Sharp => (loaded ??= createRequire(import.meta.url)('sharp') as typeof Sharp)
