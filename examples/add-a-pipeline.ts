// A pipeline is a page: the classes it opens, its parts, its options, and how it makes its output. This one is diffusers'
// LDMPipeline: unconditional pictures by a U-Net in the latents of a VQ autoencoder (Rombach et al. 2022, section 4.1).
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { saveConfig, saveModel, writeModelIndex } from 'langevin/checkpoints'
import { unet2d, unet2dConfig, vqModel, vqModelConfig } from 'langevin/models'
import { Params } from 'langevin/nn'
import {
  denoiser,
  finish,
  latentCoder,
  loadPipeline,
  network,
  numOption,
  page,
  sampleLatents,
  scheduleOf,
  scheduler,
  schedulerFor,
  seedOption,
  stepsOption,
} from 'langevin/pipelines'
import { Generator } from 'langevin/runtime'
import { z } from 'zod'

const ldm = page({
  classes: ['LDMPipeline'],
  output: 'pictures',
  parts: { unet: network(['UNet2DModel']), vqvae: network(['VQModel']), scheduler: scheduler() },
  options: z.object({ seed: seedOption, num: numOption, steps: stepsOption.default(50) }),
  open({ unet, vqvae, scheduler }, { compile }) {
    const predict = denoiser(unet, (network, { sample, timestep }) => network(sample as never, timestep as never), compile)
    const latents = latentCoder(vqvae, compile)
    return {
      ...{ predict, latents, size: unet.config.sample_size as number },
      scheduler: schedulerFor('LDMPipeline', scheduler),
      async release() {
        await predict.release()
        await latents.release()
      },
    }
  },
  plan: ({ scheduler }, { steps }) => ({ className: 'LDMPipeline', settings: { Steps: steps, Sampler: scheduler.className } }),
  async *generate({ predict, latents, scheduler, size }, { steps, ...run }) {
    const pictures = async (z: Parameters<typeof latents.decode>[0]) =>
      ({ type: 'pictures', pictures: await latents.decode(z) }) as const
    const z = yield* sampleLatents({
      ...run,
      denoiser: predict,
      scheduler,
      schedule: scheduleOf(scheduler, { steps }),
      entries: [{}],
      combine: (output) => output,
      prepare: (generator, _, sigma) => ({ x: generator.randn([1, latents.channels, size, size]).mul(sigma) }),
      preview: pictures,
    })
    return pictures(z)
  },
})

// A checkpoint of the class, small and untrained, in diffusers' folder layout.
const folder = mkdtempSync(join(tmpdir(), 'ldm-'))
const fresh = (declare: (p: Params) => unknown, seed: number) => {
  const p = new Params()
  declare(p)
  return p.initialise(new Generator(seed))
}
const small = { block_out_channels: [8, 16], layers_per_block: 1, norm_num_groups: 4 }
const unet = unet2dConfig({
  ...{ ...small, sample_size: 8, in_channels: 3, out_channels: 3 },
  down_block_types: ['DownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'UpBlock2D'],
})
const vqvae = vqModelConfig({
  ...{ ...small, latent_channels: 3, num_vq_embeddings: 16 },
  down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
  up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
})
saveModel(
  join(folder, 'unet'),
  { ...unet },
  fresh((p) => unet2d(p, unet), 0),
)
saveModel(
  join(folder, 'vqvae'),
  { ...vqvae },
  fresh((p) => vqModel(p, vqvae), 1),
)
saveConfig(join(folder, 'scheduler'), { _class_name: 'DDIMScheduler' }, 'scheduler_config.json')
writeModelIndex(folder, {
  _class_name: 'LDMPipeline',
  components: new Map(
    Object.entries({ unet: 'UNet2DModel', vqvae: 'VQModel', scheduler: 'DDIMScheduler' }).map(([name, className]) => [
      name,
      { library: 'diffusers', className },
    ]),
  ),
  options: {},
})

// In the package the page stands in src/pipelines/latent-diffusion/page.ts and its name in src/pipelines/registry.ts.
const pipeline = await loadPipeline(folder, { pages: [ldm] })
const result = await finish(pipeline.generate({ steps: 4, num: 2 }), ({ done, total }) => console.error(`${done}/${total}`))
if (result.type !== 'pictures' || result.pictures.shape.join() !== '2,3,16,16') throw new Error(`unexpected ${result.type}`)
await pipeline.release()
