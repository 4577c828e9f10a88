import { z } from 'zod'
import { saveModel } from '../../checkpoints/index.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { BinomialDiffusion, type BitFlip } from '../../diffusion/binomial.ts'
import { sigmoidMlp, type TimeReadout } from '../../models/toy/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { RecipeType } from '../recipe.ts'

const count = z.int().positive()

/** Strings of bits with a 1 every few places, and the binomial diffusion that learns them. */
export const heartbeatSchema = z
  .object({
    bits: count.default(20),
    period: count.default(5),
    /** T. */
    steps: z.int().min(2).default(2000),
    widths: z.array(count).default([50, 50, 50]),
    /** Times that have a readout of their own, evenly from 2 to T; between two it is interpolated. The paper has one a step. */
    readouts: count.default(50),
    /** Times in a batch; `train_batch_size` strings are drawn for each. */
    times: count.default(64),
  })
  .refine(({ bits, period }) => bits % period === 0, { path: ['period'], message: 'must divide bits' })
export type HeartbeatConfig = z.infer<typeof heartbeatSchema>

/** The strings there are, [period, bits], each as likely as the others. */
export function heartbeats({ bits, period }: Pick<HeartbeatConfig, 'bits' | 'period'>): NdArray {
  return NdArray.from(
    Array.from({ length: period * bits }, (_, i) => ((i % bits) % period === Math.floor(i / bits) ? 1 : 0)),
    [period, bits],
  )
}

/** Noise has as many ones as the data: appendix D.1.2's π, not the ½ of the paper's table. */
export const heartbeatProcess = ({ steps, period }: Pick<HeartbeatConfig, 'steps' | 'period'>): BinomialDiffusion =>
  new BinomialDiffusion(steps, 1 / period)

/** log₂ of the data's probability, and of pure noise's: the truth, and L_null, bits. */
export function heartbeatTruth({ bits, period }: Pick<HeartbeatConfig, 'bits' | 'period'>): { truth: number; null: number } {
  const pi = 1 / period
  return { truth: Math.log2(pi), null: bits * (pi * Math.log2(pi) + (1 - pi) * Math.log2(1 - pi)) }
}

/** p(x_0 = 1 | x_t) of every bit; π where the readouts are 0, as at first. */
function guessOf(p: Params, { bits, period, widths, readouts }: HeartbeatConfig): TimeReadout {
  const network = sigmoidMlp(p, { size: bits, widths, outputs: bits, times: readouts })
  return (x, time) =>
    network(x, time)
      .sub(Math.log(period - 1))
      .sigmoid()
}

/** Where a step lies among the readouts. */
const place = (t: number, { steps, readouts }: HeartbeatConfig) => (steps === 2 ? 0 : ((t - 2) / (steps - 2)) * (readouts - 1))

/** q(x_{t−1} = 1 | x_t, x_0) of a bit for x_t and x_0 of 00, 01, 10, 11. */
const posteriorsAt = (process: BinomialDiffusion, t: number): number[] =>
  [0, 1].flatMap((now) => [0, 1].map((bit) => process.posterior(now, bit, t)))

/** Bits that choose one of two tensors. */
const choose = (bits: Tensor, zero: Tensor, one: Tensor): Tensor => zero.add(one.sub(zero).mul(bits))

/**
 * q(x_{t−1} = 1 | x_t, x_0) where x_0 is data. Where it is the network's guess p(x_0 = 1 | x_t) it is that posterior averaged, the
 * reverse step: what the best step between single bits is made of. guess, x [T, B, bits], q [T, 1, 4].
 */
function stepBack(guess: Tensor, x: Tensor, q: Tensor): Tensor {
  const [q00, q01, q10, q11] = q.split(4, 2) as [Tensor, Tensor, Tensor, Tensor]
  return choose(x, choose(guess, q00, q01), choose(guess, q10, q11))
}

/** Learns heartbeats by ascent on the bound K (Sohl-Dickstein et al. 2015, eq. 14), times drawn evenly. */
export const heartbeatType: RecipeType<typeof heartbeatSchema> = {
  name: 'heartbeat',
  summary: 'binomial diffusion of strings with a 1 every few bits',
  schema: heartbeatSchema,
  training: {
    train_batch_size: 32,
    max_train_steps: 4000,
    learning_rate: 3e-3,
    lr_warmup_steps: 100,
    adam_weight_decay: 0,
    ema_decay: 0.998,
    checkpointing_steps: 1000,
  },
  async job(config, { batchSize }) {
    const { bits, steps, times } = config
    const process = heartbeatProcess(config)
    const all = heartbeats(config)
    const fixed = process.entropies(all).mean().item()

    const params = new Params()
    const guess = guessOf(params, config)
    const shape = [times, batchSize, bits]
    const [data, x] = [input('data', shape), input('x', shape)]
    const [time, q] = [input('time', [times]), input('q', [times, 1, 4])]
    const p = stepBack(guess(x, time), x, q)
    const truth = stepBack(data, x, q)
    const gap = (a: Tensor, b: Tensor) => a.mul(a.log().sub(b.log()))
    const divergence = gap(truth, p).add(gap(truth.neg().add(1), p.neg().add(1)))
    // Nats a step, over all steps.
    const loss = divergence
      .sum(2)
      .mean()
      .mul(steps - 1)

    return {
      task: {
        params,
        loss,
        metrics: { bound: loss.div(-Math.LN2).add(fixed) },
        batch(generator) {
          const chosen = Array.from(generator.randint(2, steps + 1, [times]).data, Number)
          const rows = generator.randint(0, config.period, [times, batchSize]).data
          const data = NdArray.zeros(shape)
          const noisy = NdArray.zeros(shape)
          const u = generator.rand(shape).data
          for (let i = 0; i < data.size; i++) {
            const bit = all.data[Number(rows[Math.floor(i / bits)]) * bits + (i % bits)] as number
            data.data[i] = bit
            const t = chosen[Math.floor(i / (bits * batchSize))] as number
            noisy.data[i] = (u[i] as number) < process.marginal(bit, t) ? 1 : 0
          }
          return {
            data,
            x: noisy,
            time: NdArray.from(chosen.map((t) => place(t, config))),
            q: NdArray.from(
              chosen.flatMap((t) => posteriorsAt(process, t)),
              [times, 1, 4],
            ),
          }
        },
      },
      save: (weights, dir) => saveModel(dir, { _class_name: 'Heartbeat', ...config }, weights),
    }
  },
}

/** A trained network as the reverse process; `release` frees the engine's memory. */
export function heartbeatReverse(config: HeartbeatConfig, weights: Weights): { flip: BitFlip; release(): Promise<void> } {
  const process = heartbeatProcess(config)
  const programs = new Programs((batch: number) => {
    const [x, time, q] = [input('x', [1, batch, config.bits]), input('time', [1]), input('q', [1, 1, 4])]
    const p = stepBack(guessOf(new Params(), config)(x, time), x, q)
    return compile({ outputs: { p }, weights }, { threads: 1 })
  })
  return {
    async flip(x, t) {
      const rows = x.shape[0] as number
      const program = await programs.get(rows)
      const feeds = {
        x: x.cast('f32').reshape([1, rows, config.bits]),
        time: NdArray.from([place(t, config)]),
        q: NdArray.from(posteriorsAt(process, t), [1, 1, 4]),
      }
      return ((await program.run(feeds)).p as NdArray).reshape(x.shape)
    },
    release: () => programs.release(),
  }
}
