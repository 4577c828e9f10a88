import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openWeights, saveModel } from '../../checkpoints/folder.ts'
import { input } from '../../core/tensor.ts'
import { unet2dCondition, unet2dConditionConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { Calibration, type Computation, compile, NdArray, type Quantize, type Ranges } from '../../runtime/index.ts'
import { cacheFolder } from '../../runtime/node/cache.ts'
import { Generator } from '../../runtime/random.ts'

/** Stable Diffusion 1.5's U-Net: 859,520,964 parameters. */
const config = unet2dConditionConfig({ sample_size: 64, cross_attention_dim: 768 })

/** The forms that are measured: float, integers, four bits. */
export type Form = 'float' | 'int8' | 'int4'

function draw() {
  const params = new Params()
  const output = unet2dCondition(params, config)(input('x', [2, 4, 64, 64]), input('t', [2]), input('context', [2, 77, 768]))
  return { params, output }
}

/** A guided step of a 512×512 picture. */
function feeds() {
  const generator = new Generator(0)
  return {
    x: generator.randn([2, 4, 64, 64]),
    t: NdArray.full([2], 500),
    context: generator.randn([2, 77, 768]),
  }
}

/**
 * The folder of a checkpoint with random weights, in diffusers' layout: 3.4 GB, written once and kept in the cache. With it
 * the ranges that int8 needs.
 */
export async function sdCheckpoint(): Promise<string> {
  const dir = join(cacheFolder('bench'), 'stable-diffusion-1.5-unet')
  if (!existsSync(join(dir, 'config.json'))) {
    const part = `${dir}.part`
    rmSync(part, { recursive: true, force: true })
    mkdirSync(part)
    saveModel(part, { _class_name: 'UNet2DConditionModel', ...config }, draw().params.initialise(new Generator(0)))
    renameSync(part, dir)
  }
  const file = join(dir, 'ranges.json')
  if (!existsSync(file)) {
    const calibration = await Calibration.compile(computation(dir))
    await calibration.run(feeds())
    await calibration.release()
    writeFileSync(file, JSON.stringify(calibration.ranges))
  }
  return dir
}

const computation = (dir: string): Computation => ({ outputs: { output: draw().output }, weights: openWeights(dir) })

/** A run is a step; the first run opens the checkpoint too. */
export async function sdStep(dir: string, form: Form): Promise<() => Promise<Record<string, number>>> {
  const ranges = JSON.parse(readFileSync(join(dir, 'ranges.json'), 'utf8')) as Ranges
  const quantization: Quantize | undefined =
    form === 'float' ? undefined : form === 'int8' ? { kind: form, ranges } : { kind: form }
  const given = feeds()
  let program: Awaited<ReturnType<typeof compile>> | undefined
  return async () => {
    const before = performance.now()
    const figure = program ? 'ms' : 'loadAndFirstStep'
    program ??= await compile(computation(dir), { quantization })
    await program.run(given)
    return { [figure]: performance.now() - before }
  }
}
