import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { saveModel } from '../../checkpoints/folder.ts'
import type { NdArray } from '../../runtime/index.ts'
import { Calibration, type Computation, compile, type Quantize, type Ranges } from '../../runtime/index.ts'
import type { Form } from './sd-unet.ts'

/** A network that a benchmark runs in several forms. */
export interface Subject {
  /** Of `config.json`. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Random values, made when they are written. */
  weights(): ReadonlyMap<string, NdArray>
  /** The network of a folder that has them. */
  computation(dir: string): Computation
  readonly feeds: Readonly<Record<string, NdArray>>
}

/** Writes a folder of random weights in float16, once, with the ranges that int8 needs. */
export async function writeSubject(dir: string, { fields, weights, computation, feeds }: Subject): Promise<string> {
  if (!existsSync(join(dir, 'config.json'))) {
    const part = `${dir}.part`
    rmSync(part, { recursive: true, force: true })
    mkdirSync(part)
    saveModel(part, fields, weights(), { dtype: 'f16' })
    renameSync(part, dir)
  }
  const file = join(dir, 'ranges.json')
  if (!existsSync(file)) {
    const calibration = await Calibration.compile(computation(dir))
    await calibration.run(feeds)
    await calibration.release()
    writeFileSync(file, JSON.stringify(calibration.ranges))
  }
  return dir
}

/** A run is one evaluation in a form; the first run opens the checkpoint too. */
export function runsOf(
  dir: string,
  form: Form,
  { computation, feeds }: Pick<Subject, 'computation' | 'feeds'>,
): () => Promise<Record<string, number>> {
  const ranges = JSON.parse(readFileSync(join(dir, 'ranges.json'), 'utf8')) as Ranges
  const quantization: Quantize | undefined =
    form === 'float' ? undefined : form === 'int8' ? { kind: form, ranges } : { kind: form }
  let program: Awaited<ReturnType<typeof compile>> | undefined
  return async () => {
    const before = performance.now()
    const figure = program ? 'ms' : 'loadAndFirstStep'
    program ??= await compile(computation(dir), { quantization })
    await program.run(feeds)
    return { [figure]: performance.now() - before }
  }
}
