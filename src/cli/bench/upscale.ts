import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { saveModel } from '../../checkpoints/folder.ts'
import { input } from '../../core/tensor.ts'
import { rrdbNet, rrdbNetConfig, swinIr, swinIrConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { openUpscaler } from '../../pipelines/upscale/open.ts'
import { compile } from '../../runtime/index.ts'
import { cacheFolder } from '../../runtime/node/cache.ts'
import { Generator } from '../../runtime/random.ts'

/** The published networks, by the benchmarks' names: RealESRGAN_x4plus and SwinIR light ×4. */
const networks = {
  'upscale-rrdb': () => {
    const config = rrdbNetConfig({ num_in_ch: 3, num_out_ch: 3 })
    return { className: 'RRDBNet', config, build: (p: Params) => rrdbNet(p, config) }
  },
  'upscale-swinir': () => {
    const light = { depths: [6, 6, 6, 6], num_heads: [6, 6, 6, 6], embed_dim: 60, mlp_ratio: 2, window_size: 8, img_size: 64 }
    const config = swinIrConfig({ ...light, upscale: 4, upsampler: 'pixelshuffledirect' })
    return { className: 'SwinIR', config, build: (p: Params) => swinIr(p, config) }
  },
} as const
export type UpscaleBenchmark = keyof typeof networks

/** A folder of one of the networks with random weights, kept in the cache. */
export async function upscalerCheckpoint(name: UpscaleBenchmark): Promise<string> {
  const dir = join(cacheFolder('bench'), name)
  if (existsSync(join(dir, 'config.json'))) return dir
  const { className, config, build } = networks[name]()
  const [params, part] = [new Params(), `${dir}.part`]
  build(params)
  rmSync(part, { recursive: true, force: true })
  mkdirSync(part)
  saveModel(part, { _class_name: className, ...config }, params.initialise(new Generator(0)))
  renameSync(part, dir)
  return dir
}

/** A run enlarges a picture of `side` pixels; the first run opens the checkpoint too. */
export async function upscaleRun(dir: string, side = 256): Promise<() => Promise<Record<string, number>>> {
  const picture = new Generator(0).rand([1, 3, side, side])
  let program: Awaited<ReturnType<typeof compile>> | undefined
  return async () => {
    const before = performance.now()
    const figure = program ? 'ms' : 'loadAndFirstStep'
    if (!program) {
      const { build, weights } = openUpscaler(dir)
      program = await compile({ outputs: { made: build(new Params())(input('picture', picture.shape)) }, weights })
    }
    await program.run({ picture })
    return { [figure]: performance.now() - before }
  }
}
