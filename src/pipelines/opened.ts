import type { CompileOptions } from '../runtime/program.ts'
import type { ModelSource } from './open/source.ts'
import type { LoadOptions, Opened } from './page.ts'

/** What a page is told of how its model is opened. */
export function openedOf<L extends LoadOptions>(source: ModelSource, load: L): Opened<L> {
  const {
    lowMemory = false,
    keep = !lowMemory,
    device,
    threads,
    prepack = lowMemory ? false : undefined,
    rewrite,
    fallback,
  } = load
  const compile = Object.entries({ device, threads, prepack, rewrite, fallback }).filter(([, value]) => value !== undefined)
  return {
    source,
    load,
    compile: Object.fromEntries(compile) as CompileOptions,
    async done(part) {
      if (!keep) await part.release()
    },
  }
}
