import { concat, input } from '../../../src/core/index.ts'
import { linear, Params, sinusoidal } from '../../../src/nn/index.ts'
import { NdArray } from '../../../src/runtime/ndarray.ts'
import { Generator } from '../../../src/runtime/random.ts'
import { adamw } from '../../../src/training/optimizer.ts'
import { TrainingStep } from '../../../src/training/step.ts'

const BATCH = 64

/** Losses of a small network that learns to say the noise in points of two moons; the same in Node and in a browser. */
export async function* train2d({ steps }: { readonly steps: number }): AsyncGenerator<number, number[], void> {
  const params = new Params()
  const first = linear(params.at('first'), 2 + 16, 64)
  const second = linear(params.at('second'), 64, 64)
  const last = linear(params.at('last'), 64, 2)
  const [noisy, noise, time] = [input('noisy', [BATCH, 2]), input('noise', [BATCH, 2]), input('time', [BATCH])]
  const x = concat([noisy, sinusoidal(time, 16)], 1)
  const loss = last(second(first(x).silu()).silu())
    .sub(noise)
    .square()
    .mean()
  const generator = new Generator(7)
  const step = await TrainingStep.compile({ params, loss }, params.initialise(generator), { optimizer: adamw() })
  const losses: number[] = []
  const optimizer = adamw()
  for (let i = 1; i <= steps; i++) {
    const [u, e, t] = [generator.rand([BATCH]), generator.randn([BATCH, 2]), generator.rand([BATCH])]
    const points = Float32Array.from({ length: 2 * BATCH }, (_, k) => {
      const angle = Math.PI * (u.data[k >> 1] as number)
      return k % 2 === 0 ? Math.cos(angle) : Math.sin(angle)
    })
    const level = Float32Array.from({ length: 2 * BATCH }, (_, k) => t.data[k >> 1] as number)
    const mixed = points.map(
      (p, k) => p * Math.sqrt(1 - (level[k] as number) ** 2) + (level[k] as number) * (e.data[k] as number),
    )
    const feeds = { noisy: NdArray.from(mixed, [BATCH, 2]), noise: e, time: t.mul(1000) }
    const { loss } = await step.run([feeds], optimizer.scalars(i, 3e-3))
    losses.push(loss)
    yield loss
  }
  await step.release()
  return losses
}
