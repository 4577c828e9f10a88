import { z } from 'zod'
import { saveModel } from '../../checkpoints/index.ts'
import { arange, concat, constant, input, type Tensor } from '../../core/index.ts'
import { rbfNetwork } from '../../models/toy/index.ts'
import { Params, zerosInit } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { compile, evaluate } from '../../runtime/program.ts'
import type { Generator } from '../../runtime/random.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { RecipeType } from '../recipe.ts'

const count = z.int().positive()

/** A swiss roll in the plane, and the Gaussian diffusion that learns it. */
export const swissRollSchema = z.object({
  /** Standard deviation of the points around the roll, in units of their spread. */
  thickness: z.number().min(0).default(0.02),
  /** Rounds of the roll. */
  turns: z.number().positive().default(1.5),
  /** T. */
  steps: z.int().min(2).default(40),
  hidden: count.default(16),
  /** β of the first step, which is not learned: the bound would send it to 0. */
  first_beta: z.number().gt(0).lt(1).default(1e-4),
})
export type SwissRollConfig = z.infer<typeof swissRollSchema>
type RollConfig = Pick<SwissRollConfig, 'thickness' | 'turns'>

/** The roll r ∝ φ from φ = 3π/2 on, before it is centred and scaled. */
const spiral = (phi: number): [number, number] => [phi * Math.cos(phi), phi * Math.sin(phi)]

/** Mean and spread of the bare roll, by even φ. */
function frame({ turns }: RollConfig) {
  const points = Array.from({ length: 20_000 }, (_, i) => spiral(1.5 * Math.PI + ((i + 0.5) / 20_000) * turns * 2 * Math.PI))
  const mean = [0, 1].map((j) => points.reduce((sum, p) => sum + (p[j] as number), 0) / points.length)
  const square = [0, 1].map((j) => points.reduce((sum, p) => sum + ((p[j] as number) - (mean[j] as number)) ** 2, 0))
  return { mean, std: square.map((s) => Math.sqrt(s / points.length)) }
}

/** Points of the roll [count, 2], mean 0 and variance 1 along both axes; φ is even, so that the inner end is denser. */
export function swissRollPoints(config: RollConfig, count: number, generator: Generator): NdArray<'f32'> {
  const { mean, std } = frame(config)
  const phi = generator.rand([count]).data
  const shrink = 1 / Math.sqrt(1 + config.thickness ** 2)
  return generator.randn([count, 2]).map((z, i) => {
    const at = spiral((1.5 + 2 * config.turns * (phi[Math.floor(i / 2)] as number)) * Math.PI)[i % 2] as number
    return ((at - (mean[i % 2] as number)) / (std[i % 2] as number) + config.thickness * z) * shrink
  })
}

/** What the network and the schedule say of every step t = 1 … T: tensors over [T, …]. */
interface Reverse {
  /** β_1 … β_T, [T, 1, 1]. */
  readonly betas: Tensor
  /** ᾱ_1 … ᾱ_T, [T, 1, 1]. */
  readonly kept: Tensor
  /** x [T, B, 2] → mean and variance of x_{t−1}, [T, B, 2] both. Row 0, the step from x_1 to x_0, is the forward step. */
  step(x: Tensor): { mean: Tensor; variance: Tensor }
}

/** ln p − ln(1 − p). */
const logit = (p: Tensor): Tensor => p.log().sub(p.neg().add(1).log())

/**
 * Reverse steps around those of pure noise: where the readouts are 0, as at first, the mean is x√(1 − β) and the variance β,
 * which undoes the forward step exactly for Gaussian data. f_Σ is a sigmoid, and β_2 … β_T are learned from 1/T … 1/2.
 */
function reverseOf(p: Params, { steps, hidden, first_beta }: SwissRollConfig): Reverse {
  const network = rbfNetwork(p.at('rbf'), { size: 2, hidden, outputs: 4, times: steps - 1 })
  const start = Float32Array.from({ length: steps - 1 }, (_, i) => {
    const beta = 1 / (steps - ((steps - 2) * i) / Math.max(steps - 2, 1))
    return Math.log(beta / (1 - beta))
  })
  const learned = p
    .get('beta_logits', [steps - 1], zerosInit)
    .add(constant(start))
    .sigmoid()
  const betas = concat([constant([first_beta]), learned], 0).reshape([steps, 1, 1])
  const kept = betas.neg().add(1).log().cumsum(0).exp()
  return {
    betas,
    kept,
    step(x) {
      const out = network(x.slice(0, 1), arange(steps - 1)).padAxis(0, 1, 0)
      const [shift, spread] = out.split(2, 2) as [Tensor, Tensor]
      const variance = logit(betas).add(spread).sigmoid()
      return { mean: x.mul(variance.neg().add(1).sqrt()).add(shift.mul(betas.sqrt())), variance }
    },
  }
}

/**
 * −K in nats a point, with one draw of the noise for every step (Sohl-Dickstein et al. 2015, eq. 14 and appendix B): x_t is a
 * function of the data, the noise and the betas, so that its gradient reaches those too.
 *
 * @param data [B, 2]
 * @param noise [T, B, 2]
 */
function negativeBound({ betas, kept, step }: Reverse, data: Tensor, noise: Tensor): Tensor {
  const left = kept.neg().add(1)
  const x = data.mul(kept.sqrt()).add(noise.mul(left.sqrt()))
  const { mean, variance } = step(x)
  // q(x_{t−1} | x_t, x_0), t = 2 … T.
  const later = (y: Tensor) => y.slice(0, 1)
  const before = (y: Tensor) => y.slice(0, 0, -1)
  const beta = later(betas)
  const exact = data
    .mul(before(kept).sqrt().mul(beta))
    .add(later(x).mul(beta.neg().add(1).sqrt().mul(before(left))))
    .div(later(left))
  const spread = beta.mul(before(left)).div(later(left))
  const ratio = spread.div(later(variance))
  const divergence = ratio
    .sub(1)
    .sub(ratio.log())
    .add(exact.sub(later(mean)).square().div(later(variance)))
    .div(2)
  // E ln p(x_T) + H_q(X_T | X_0) − H_q(X_1 | X_0), and ln π(x_0) − ln π(x_1), by which the last step differs from q(x_1 | x_0).
  const ends = (y: Tensor): readonly [Tensor, Tensor] => [y.slice(0, 0, 1), y.slice(0, -1)]
  const [[firstLeft, lastLeft], [, lastKept]] = [ends(left), ends(kept)]
  const prior = data
    .square()
    .mul(lastKept)
    .add(lastLeft)
    .add(Math.log(2 * Math.PI))
    .div(-2)
  const entropies = lastLeft.log().sub(firstLeft.log()).div(2)
  const edge = data.square().neg().add(1).mul(firstLeft).div(2)
  return divergence.sum([0, 2]).mean().sub(prior.add(entropies).add(edge).sum(2).mean())
}

/** log₂ of pure noise's density at the data, the paper's L_null, bits a point. */
export const swissRollNull = -Math.log2(2 * Math.PI * Math.E)

/** Learns the roll by ascent on the bound K, all steps at once. */
export const swissRollType: RecipeType<typeof swissRollSchema> = {
  name: 'swiss-roll',
  summary: 'Gaussian diffusion of a swiss roll in the plane',
  schema: swissRollSchema,
  training: {
    train_batch_size: 64,
    max_train_steps: 6000,
    learning_rate: 5e-2,
    lr_warmup_steps: 100,
    adam_weight_decay: 0,
    ema_decay: 0.998,
    checkpointing_steps: 1000,
  },
  async job(config, { batchSize }) {
    const params = new Params()
    const reverse = reverseOf(params, config)
    const loss = negativeBound(reverse, input('data', [1, batchSize, 2]), input('noise', [config.steps, batchSize, 2]))
    return {
      task: {
        params,
        loss,
        metrics: { bound: loss.div(-Math.LN2) },
        batch: (generator) => ({
          data: swissRollPoints(config, batchSize, generator).reshape([1, batchSize, 2]),
          noise: generator.randn([config.steps, batchSize, 2]),
        }),
      },
      save: (weights, dir) => saveModel(dir, { _class_name: 'SwissRoll', ...config }, weights),
    }
  },
}

/** The bound K on `data` [B, 2] with one draw of noise, bits a point. */
export async function swissRollBound(
  config: SwissRollConfig,
  weights: Weights,
  data: NdArray,
  generator: Generator,
): Promise<number> {
  const [rows] = data.shape as [number, number]
  const p = new Params()
  const loss = negativeBound(reverseOf(p, config), input('data', [1, rows, 2]), input('noise', [config.steps, rows, 2]))
  const { k } = await evaluate(
    { outputs: { k: loss.div(-Math.LN2) }, weights },
    { data: data.cast('f32').reshape([1, rows, 2]), noise: generator.randn([config.steps, rows, 2]) },
  )
  return (k as NdArray).item()
}

/** Points from pure noise back through the learned steps. */
export interface SwissRollPath {
  /** x_T, x_{T−1}, … x_0, [count, 2] each. */
  readonly path: readonly NdArray[]
  /** The means of x_{T−1}, … x_0 that the steps gave. */
  readonly means: readonly NdArray[]
  /** β_1 … β_T as they were learned. */
  readonly betas: readonly number[]
}

export async function sampleSwissRoll(
  config: SwissRollConfig,
  weights: Weights,
  count: number,
  generator: Generator,
): Promise<SwissRollPath> {
  const { steps } = config
  const reverse = reverseOf(new Params(), config)
  const outputs = { betas: reverse.betas, ...reverse.step(input('x', [steps, count, 2])) }
  const program = await compile({ outputs, weights }, { threads: 1 })
  try {
    let x: NdArray = generator.randn([count, 2])
    const path = [x]
    const means: NdArray[] = []
    let betas: readonly number[] = []
    for (let t = steps; t >= 1; t--) {
      // The program makes the steps of all times; that of t is taken.
      const found = await program.run({ x: NdArray.stack(new Array<NdArray>(steps).fill(x)) })
      const [mean, variance] = [found.mean, found.variance].map((y) => (y as NdArray).row(t - 1)) as [NdArray, NdArray]
      betas = Array.from((found.betas as NdArray).data, Number)
      x = mean.add(variance.sqrt().mul(generator.randn([count, 2])))
      means.push(mean)
      path.push(x)
    }
    return { path, means, betas }
  } finally {
    await program.release()
  }
}
