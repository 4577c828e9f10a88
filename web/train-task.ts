import { adamw, compile, concat, Generator, input, NdArray, nn, TrainingStep } from '../src/web/worker/index.ts'
import { pointsOf, type ShapeName } from './shapes.ts'

const BATCH = 256
const SAMPLES = 512
const WIDTH = 128
const EULER_STEPS = 24

export interface TrainInput {
  readonly shape: ShapeName
  readonly steps: number
  /** Steps between two drawings of samples. */
  readonly every: number
}

export interface TrainProgress {
  readonly step: number
  readonly losses: readonly number[]
  /** x and y in turns, where the network has drawn. */
  readonly samples?: Float32Array
}

/** x [B, 2] and the time [B] in 0 … 1 → the velocity from data to noise [B, 2]. */
function network(p: nn.Params) {
  const widths = [2 + 32, WIDTH, WIDTH, WIDTH]
  const layers = widths.slice(1).map((width, i) => nn.linear(p.at('layers', i), widths[i] as number, width))
  const last = nn.linear(p.at('last'), WIDTH, 2)
  return (x: ReturnType<typeof input>, t: ReturnType<typeof input>) =>
    last(layers.reduce((h, layer) => layer(h).silu(), concat([x, nn.sinusoidal(t.mul(1000), 32)], 1)))
}

/** Rectified flow (Liu et al. 2023): the network learns the velocity ε − x at x + t (ε − x). */
export async function* train({ shape, steps, every }: TrainInput): AsyncGenerator<TrainProgress, void, void> {
  const generator = new Generator(0)
  const params = new nn.Params()
  const velocity = network(params)
  const [x, t, target] = [input('x', [BATCH, 2]), input('t', [BATCH]), input('target', [BATCH, 2])]
  const loss = velocity(x, t).sub(target).square().mean()
  const optimizer = adamw({ weightDecay: 0 })
  const step = await TrainingStep.compile({ params, loss }, params.initialise(generator), { optimizer, ema: true })
  try {
    let losses: number[] = []
    for (let i = 1; i <= steps; i++) {
      const [data, noise, time] = [pointsOf(shape, BATCH, generator), generator.randn([BATCH, 2]), generator.rand([BATCH])]
      const direction = noise.sub(data)
      const feeds = { x: data.add(direction.mul(time.reshape([BATCH, 1]))), t: time, target: direction }
      const rate = 3e-3 * Math.min(1, i / 50) * Math.max(0.05, 1 - i / steps)
      losses.push((await step.run([feeds], optimizer.scalars(i, rate), Math.min(0.99, i / (i + 10)))).loss)
      const draws = i % every === 0 || i === steps
      if (!draws && i % 10 !== 0) continue
      yield { step: i, losses, ...(draws && { samples: await samples(velocity, await step.weights()) }) }
      losses = []
    }
  } finally {
    await step.release()
  }
}

/** Euler steps from noise to data, always from the same noise. */
async function samples(velocity: ReturnType<typeof network>, weights: Map<string, NdArray>): Promise<Float32Array> {
  const [x, t] = [input('x', [SAMPLES, 2]), input('t', [SAMPLES])]
  const program = await compile({ outputs: { next: x.sub(velocity(x, t).div(EULER_STEPS)) }, weights }, { rewrite: false })
  let state = new Generator(1).randn([SAMPLES, 2])
  for (let i = EULER_STEPS; i > 0; i--)
    state = (await program.run({ x: state, t: NdArray.full([SAMPLES], i / EULER_STEPS) })).next as NdArray<'f32'>
  await program.release()
  return state.data
}
