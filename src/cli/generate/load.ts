import { existsSync } from 'node:fs'
import type { HubOptions } from '../../checkpoints/index.ts'
import type { LoadOptions, StepCache } from '../../pipelines/index.ts'
import type { Io } from '../command.ts'
import type { Options } from './options.ts'

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

/** The hub as a command uses it: Ctrl-C stops a download, whose progress is shown once a second. */
export function hubOf(signal: AbortSignal, io: Io): HubOptions {
  let shown = performance.now()
  return {
    signal,
    onProgress({ file, allDone, allTotal }) {
      if (performance.now() - shown < 1000) return
      shown = performance.now()
      io.err.write(`${file}: ${megabytes(allDone)} of ${megabytes(allTotal)}\n`)
    },
  }
}

/** The flags that say how the model is opened, as the library takes them. */
export const loadOptionsOf = ({ cache, threads, device, ...given }: Options) =>
  ({
    // The processor is what a page has unless told.
    ...(device !== 'cpu' && { device }),
    ...(threads !== undefined && { threads }),
    variant: given.variant,
    tokenizer: given.tokenizer,
    prediction: given.prediction,
    vae: given.vae,
    prior: given.prior,
    refiner: given.refiner,
    quantize: given.quantize,
    cache: cache === undefined ? undefined : stepCacheOf(cache),
    lowMemory: given.lowMemory,
    keep: false,
    tiling: given.tiling,
    controlnets: given.controlnet,
    ipAdapters: given.ipAdapter.map((one) => scaled(one).name),
    imageEncoder: given.imageEncoder,
    loraDir: given.loraDir,
    hiresUpscaler: given.hiresUpscaler,
    adapters: given.adapter.map((one) => scaled(one).name),
    loras: given.lora.map((one) => {
      const { name, scale } = scaled(one)
      return { file: name, ...(scale !== undefined && { weight: scale }) }
    }),
    inversions: given.inversion.map((one) => {
      const [path, token] = parted(one, /./)
      return { file: path, ...(token !== undefined && { token }) }
    }),
  }) satisfies LoadOptions

/** deep:INTERVAL or first-block:THRESHOLD. */
function stepCacheOf(text: string): StepCache {
  const [kind, value] = parted(text, /./)
  return kind === 'deep' ? { kind, interval: Number(value) } : { kind: 'first-block', threshold: Number(value) }
}

/** FILE or FILE:NUMBER. */
export function scaled(text: string): { readonly name: string; readonly scale?: number } {
  const [name, scale] = parted(text, /^[+-]?(\d+\.?\d*|\.\d+)$/)
  return { name, ...(scale !== undefined && { scale: Number(scale) }) }
}

/** FILE or FILE:VALUE; a file whose own name has the colon is a file. */
function parted(text: string, value: RegExp): [string, string?] {
  const cut = text.lastIndexOf(':')
  const after = text.slice(cut + 1)
  return cut < 1 || existsSync(text) || !value.test(after) ? [text] : [text.slice(0, cut), after]
}
