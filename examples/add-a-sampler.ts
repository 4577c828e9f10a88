// A sampler is an async generator over a denoiser, a state and noise levels: it yields every step and returns the sample. This
// one is the midpoint method on the probability-flow ODE dx/dσ = (x − D(x; σ))/σ (Karras et al. 2022, eq. 3).
// In the package it stands in src/diffusion/samplers/; a scheduler of diffusers that uses it is an entry in src/diffusion/schedulers/.
import { type Denoise, euler, finish, GaussianMixture, Generator, type NdArray, type Sampling } from 'langevin/diffusion'

async function* midpoint(denoise: Denoise, x: NdArray, sigmas: readonly number[]): Sampling {
  const slope = async (at: NdArray, sigma: number) => {
    const denoised = await denoise(at, sigma)
    return { denoised, d: at.sub(denoised).div(sigma) }
  }
  for (const [i, sigma] of sigmas.slice(0, -1).entries()) {
    const next = sigmas[i + 1] as number
    const first = await slope(x, sigma)
    yield { i, sigma, x, denoised: first.denoised }
    const middle = (sigma + next) / 2
    const { d } = await slope(x.add(first.d.mul(middle - sigma)), middle)
    x = x.add(d.mul(next - sigma))
  }
  return x
}

// Its order of convergence, on data whose best denoiser is known: half the step, a quarter of the error.
const data = new GaussianMixture([
  { weight: 0.4, mean: [-1, 0.5], std: 0.4 },
  { weight: 0.6, mean: [1, -1], std: 0.5 },
])
const start = new Generator(0).randn([200, 2]).mul(4)
const levels = (steps: number) => Array.from({ length: steps + 1 }, (_, i) => 4 * (0.1 / 4) ** (i / steps))
const run = (sampler: typeof midpoint, steps: number) => finish(sampler(data.denoiser(), start, levels(steps)))
const exact = await run(midpoint, 1024)
const error = async (sampler: typeof midpoint, steps: number) => (await run(sampler, steps)).sub(exact).abs().mean().item()
const order = Math.log2((await error(midpoint, 32)) / (await error(midpoint, 64)))
if (Math.abs(order - 2) > 0.2) throw new Error(`order ${order}, expected 2`)
if ((await error(midpoint, 16)) > (await error(euler, 32)) / 5) throw new Error('no better than Euler at equal cost')
