import { openWeights, saveModel } from '../../checkpoints/folder.ts'
import { input } from '../../core/tensor.ts'
import { unet2d, unet2dSchema } from '../../models/unet/index.ts'
import { Params } from '../../nn/params.ts'
import { free } from '../../runtime/free.ts'
import { compile, NdArray } from '../../runtime/index.ts'
import { Generator } from '../../runtime/random.ts'
import { adamw } from '../../training/optimizer.ts'
import { TrainingStep } from '../../training/step.ts'

const BATCH = 8

/** The DDPM of Ho et al. 2020 for CIFAR-10, as google/ddpm-cifar10-32 configures it: 35,746,307 parameters. */
const config = unet2dSchema.parse({
  sample_size: 32,
  in_channels: 3,
  out_channels: 3,
  block_out_channels: [128, 256, 256, 256],
  down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'UpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
  attention_head_dim: null,
  downsample_padding: 0,
  flip_sin_to_cos: false,
  freq_shift: 1,
  norm_eps: 1e-6,
})

function draw() {
  const params = new Params()
  const net = unet2d(params, config)
  const y = net(input('x', [BATCH, 3, 32, 32]), input('t', [BATCH]))
  return { params, y, loss: y.sub(input('noise', y.shape)).square().mean() }
}

const generator = new Generator(0)

/** Writes the network with fresh weights as a folder in diffusers' layout, which both sides of a benchmark then load. */
export function writeModel(dir: string): void {
  const { params } = draw()
  saveModel(dir, { _class_name: 'UNet2DModel', ...config }, params.initialise(generator))
}

/** What the network is given. */
export const x = generator.randn([BATCH, 3, 32, 32])
const t = NdArray.full([BATCH], 10)
const noise = generator.randn([BATCH, 3, 32, 32])

/** One evaluation of the network in a folder. */
export async function inference(dir: string): Promise<() => Promise<unknown>> {
  const program = await compile({ outputs: { y: draw().y }, weights: openWeights(dir) })
  return () => program.run({ x, t })
}

/** One step from fresh weights: forward, backward, AdamW. */
export async function training(): Promise<() => Promise<unknown>> {
  const { params, loss } = draw()
  const optimizer = adamw()
  const values = params.initialise(generator)
  const step = await TrainingStep.compile({ params, loss }, values, { optimizer })
  for (const value of values.values()) free(value)
  let count = 0
  return () => step.run([{ x, t, noise }], optimizer.scalars(++count, 1e-4))
}

/** Milliseconds to draw the network and its loss, and to compile the programs of inference and of training. */
export async function preparation(dir: string): Promise<Record<string, number>> {
  const clock = () => performance.now()
  let before = clock()
  const { params, y, loss } = draw()
  const tracing = clock() - before

  before = clock()
  const program = await compile({ outputs: { y }, weights: openWeights(dir) })
  const inferenceProgram = clock() - before
  await program.release()

  const values = params.initialise(generator)
  before = clock()
  const step = await TrainingStep.compile({ params, loss }, values, { optimizer: adamw() })
  const trainingPrograms = clock() - before
  await step.release()
  return { tracing, inferenceProgram, trainingPrograms }
}
