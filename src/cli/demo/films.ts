import {
  ddim,
  type GaussianMixture,
  type Level,
  levelOf,
  type NdArray,
  predictorCorrector,
  type Sampling,
  ve,
  vp,
} from '../../diffusion/index.ts'
import type { Colour } from '../../images/index.ts'
import type { ParticlePanel } from '../../images/particles.ts'
import { Generator } from '../../runtime/random.ts'
import { drawSet } from './sets.ts'

const colours = { noise: [226, 87, 43], ode: [15, 157, 138], set: [37, 99, 235] } as const satisfies Record<string, Colour>

/** A film: its pictures' panels one after another; and a strip, whose rows are some panels at some moments. */
export interface Film {
  readonly frames: readonly (readonly ParticlePanel[])[]
  readonly strip: { readonly rows: readonly (readonly ParticlePanel[])[] }
}

/** Panels `shown` of the frames at these shares of the film; the title stands over the first moment. */
function strip(frames: Film['frames'], shown: readonly number[], shares: readonly number[]): Film['strip'] {
  const moments = shares.map((share) => frames[Math.round(share * (frames.length - 1))] as readonly ParticlePanel[])
  const row = (k: number) =>
    moments.map((panels, i): ParticlePanel => {
      const { title, ...panel } = panels[k] as ParticlePanel
      return i === 0 && title ? { ...panel, title } : panel
    })
  return { rows: shown.map(row) }
}

export interface FilmOptions {
  readonly particles: number
  readonly seed: number
  readonly signal?: AbortSignal
}

const number = (value: number) => value.toFixed(2).replace('-', '−')
const cloud = (points: NdArray, colour: Colour) => ({ points, colour })

/** Every state of a sampler, the last one its result. */
async function statesOf(sampling: Sampling): Promise<NdArray[]> {
  const states: NdArray[] = []
  for (let next = await sampling.next(); ; next = await sampling.next()) {
    states.push(next.done ? next.value : next.value.x)
    if (next.done) return states
  }
}

/**
 * The forward process step by step, and back from fresh noise by the exact score: as the stochastic process reversed, and along
 * the probability-flow ODE.
 */
export async function processFilm(set: GaussianMixture, { particles, seed }: FilmOptions, steps = 60): Promise<Film> {
  const generator = new Generator(seed)
  // Levels that change something visible in every part of the film.
  const sigmas = Array.from({ length: steps + 1 }, (_, i) => Math.sin((Math.PI / 2) * (0.999 - (0.93 * i) / steps) ** 1.7))
  const upwards = [0, ...sigmas.toReversed()].map((sigma) => levelOf(vp, sigma))
  const forward = [drawSet(set, particles, seed)]
  for (const [i, to] of upwards.slice(1).entries()) {
    const from = upwards[i] as { alpha: number; sigma: number }
    const keep = to.alpha / from.alpha
    const added = Math.sqrt(Math.max(0, to.sigma ** 2 - (keep * from.sigma) ** 2))
    const x = forward.at(-1) as NdArray
    forward.push(x.mul(keep).add(generator.randn(x.shape).mul(added)))
  }
  const start = generator.randn([particles, 2])
  const denoise = set.denoiser(vp)
  const noisy = predictorCorrector(denoise, start, sigmas, { generator, path: vp, predictor: 'ancestral', corrections: 0 })
  const [reverse, flow] = await Promise.all([statesOf(noisy), statesOf(ddim(denoise, start, sigmas))])
  const frames = Array.from({ length: steps + 1 }, (_, i): ParticlePanel[] => {
    const [t, back] = [(upwards[i] as Level).sigma, sigmas[i] as number].map((sigma) => `σ = ${sigma.toFixed(2)}`)
    return [
      { title: 'Forward: data to noise', note: t, layers: [cloud(forward[i] as NdArray, colours.set)] },
      { title: 'Reverse, with noise', note: back, layers: [cloud(reverse[i] as NdArray, colours.noise)] },
      { title: 'Reverse, without noise', note: back, layers: [cloud(flow[i] as NdArray, colours.ode)] },
    ]
  })
  return { frames, strip: strip(frames, [0, 1, 2], [0, 0.25, 0.5, 0.75, 1]) }
}

/**
 * Particles that climb the log-density, once without and once with noise. Without noise they end on the modes; Langevin's
 * equation, dx = ∇ln p dt + √2 dw, keeps the entropy and samples p.
 */
export async function descentFilm(set: GaussianMixture, { particles, seed, signal }: FilmOptions, steps = 60): Promise<Film> {
  const generator = new Generator(seed)
  const level = levelOf(ve, 0)
  const narrowest = Math.min(...set.components.map(({ std }) => std))
  const [size, inner] = [0.15 * narrowest ** 2, 6]
  const mean = (x: NdArray) => set.logDensity(x, level).reduce((a, b) => a + b, 0) / particles
  const data = drawSet(set, particles, seed)
  const truth = mean(data)
  let climbing: NdArray = generator.randn([particles, 2]).mul(1.2)
  let wandering = climbing
  const note = (x: NdArray) => `mean ln p = ${number(mean(x))}`
  const frames: ParticlePanel[][] = []
  for (let i = 0; i <= steps; i++) {
    signal?.throwIfAborted()
    frames.push([
      { title: 'Gradient alone: onto the modes', note: note(climbing), layers: [cloud(climbing, colours.ode)] },
      { title: 'Gradient and noise: Langevin', note: note(wandering), layers: [cloud(wandering, colours.noise)] },
      { title: 'The distribution', note: `mean ln p = ${number(truth)}`, layers: [cloud(data, colours.set)] },
    ])
    for (let k = 0; k < inner; k++) {
      climbing = climbing.add(set.score(climbing, level).mul(size))
      wandering = wandering
        .add(set.score(wandering, level).mul(size))
        .add(generator.randn(wandering.shape).mul(Math.sqrt(2 * size)))
    }
  }
  const { rows } = strip(frames, [0, 1], [0, 0.05, 0.3, 1])
  const [first, second] = rows as [readonly ParticlePanel[], readonly ParticlePanel[]]
  return { frames, strip: { rows: [[...first, (frames[0] as ParticlePanel[])[2] as ParticlePanel], second] } }
}
