import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ArgumentError } from '../../core/errors.ts'
import { BenchError, Side } from './process.ts'

/** One benchmark. */
export interface Benchmark {
  readonly what: string
  /** PyTorch's forms of the same work; none where there is nothing to compare with. */
  readonly peers: readonly string[]
  /** Runs before the measured ones, and measured runs in each round. */
  readonly warmUp: number
  readonly repeats: number
  /** Where there is no peer: the most that each figure may be, in a process that has not done it before. */
  readonly limits?: Readonly<Record<string, number>>
  /** Other than the usual one. */
  readonly subject?: string
  /** Our forms of the work. Every side then has the machine and its memory to itself, anew in each round. */
  readonly forms?: readonly string[]
}

/** What all of them measure on. */
export const subject = 'U-Net of DDPM for CIFAR-10 (35,746,307 parameters), batch 8, float32'

export const benchmarks = {
  'unet-inference': { what: 'one evaluation', peers: ['eager', 'channels_last'], warmUp: 3, repeats: 3 },
  'unet-training': { what: 'forward, backward and AdamW', peers: ['eager'], warmUp: 2, repeats: 2 },
  'trace-and-compile': {
    what: 'tracing it and compiling its programs',
    peers: [],
    warmUp: 0,
    repeats: 1,
    limits: { tracing: 300, inferenceProgram: 2000, trainingPrograms: 2000 },
  },
  'sampler-step': {
    what: 'a step of the slowest sampler, in per cent of one evaluation of the network',
    peers: [],
    warmUp: 0,
    repeats: 1,
    limits: { percent: 1 },
  },
  'sd-unet': {
    what: 'a guided step of a 512×512 picture, and opening the checkpoint with the first step',
    subject: 'U-Net of Stable Diffusion 1.5 (859,520,964 parameters), random weights in float32, batch 2',
    forms: ['float', 'int8', 'int4'],
    peers: ['eager', 'channels_last', 'bfloat16'],
    warmUp: 0,
    repeats: 1,
  },
  'sd3-transformer': {
    what: 'a guided step of a 512×512 picture, and opening the checkpoint with the first step',
    subject:
      'transformer of Stable Diffusion 3 medium (2,028,328,000 parameters; LANGEVIN_BENCH_LAYERS for fewer than its 24 blocks), random weights stored in float16, batch 2',
    forms: ['float', 'int8', 'int4'],
    peers: ['eager', 'bfloat16'],
    warmUp: 0,
    repeats: 1,
  },
  t5: {
    what: 'one prompt of 256 tokens, and opening the checkpoint with the first prompt',
    subject:
      'encoder of T5 v1.1 XL (1,223,527,424 parameters; LANGEVIN_BENCH_LAYERS for fewer than its 24 blocks), random weights stored in float16',
    forms: ['float', 'int8', 'int4'],
    peers: ['eager', 'bfloat16'],
    warmUp: 0,
    repeats: 1,
  },
  'sd3-picture': {
    what: 'a guided 1024×1024 picture of one step in little memory, with opening, running and freeing each network',
    subject: 'Stable Diffusion 3 medium with T5-XXL (7.7 billion parameters in all), random weights stored in float16',
    forms: ['float', 'int8'],
    peers: [],
    warmUp: 0,
    repeats: 1,
  },
  modes: {
    what: 'a picture in each mode of speed and memory, and its difference from the float network’s',
    subject: 'Stable Diffusion 1.5 with random weights in float32, 128×128 pictures, 20 guided steps',
    forms: ['float', 'deep:2', 'deep:3', 'deep:5', 'first-block:0.1', 'int8', 'int4', 'low-memory'],
    peers: [],
    warmUp: 0,
    repeats: 1,
  },
  'upscale-rrdb': {
    what: 'a picture of 256×256 pixels made 1024×1024, and opening the checkpoint with the first one',
    subject: 'RRDBNet of RealESRGAN_x4plus (16,697,987 parameters), random weights in float32',
    forms: ['float'],
    peers: ['eager', 'channels_last'],
    warmUp: 0,
    repeats: 1,
  },
  'upscale-swinir': {
    what: 'a picture of 256×256 pixels made 1024×1024, and opening the checkpoint with the first one',
    subject: 'SwinIR light ×4 (929,628 parameters), random weights in float32',
    forms: ['float'],
    peers: ['eager', 'channels_last'],
    warmUp: 0,
    repeats: 1,
  },
} as const satisfies Record<string, Benchmark>
export type BenchmarkName = keyof typeof benchmarks

export interface SideResult {
  readonly side: string
  /** The least of all runs, by figure: `ms` for a run, or what was timed. */
  readonly least: Readonly<Record<string, number>>
  /** Peak resident memory of the side's process, bytes. */
  readonly maxRss: number
}

export interface BenchmarkResult {
  readonly name: BenchmarkName
  readonly what: string
  readonly sides: readonly SideResult[]
  /** Why PyTorch's side is missing. */
  readonly without?: string
  /** Versions that PyTorch's side tells. */
  readonly versions?: unknown
  /** PyTorch's least time over ours, or the limit over our time where that is smallest; absent where there is neither. */
  readonly ratio?: number
  /** Our peak memory over PyTorch's, the leaner of its forms. */
  readonly memoryRatio?: number
}

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const ours = here(import.meta.url.endsWith('.ts') ? './side.ts' : './side.js')
const scripts: Readonly<Partial<Record<BenchmarkName, string>>> = {
  'sd-unet': 'sd_unet',
  'sd3-transformer': 'sd3_transformer',
  'upscale-rrdb': 'upscale',
  'upscale-swinir': 'upscale',
  t5: 't5',
}
const theirs = (name: BenchmarkName) => here(`../../../bench/${scripts[name] ?? 'unet'}.py`)

export interface CompareOptions {
  readonly rounds: number
  /** The Python of PyTorch's sides. */
  readonly python: string
  /** Which forms, ours and PyTorch's, take part; all of them by default. */
  readonly sides?: readonly string[] | undefined
}

/** Runs a benchmark: every side in its own process, in turns, the least time of all rounds. */
export async function compare(name: BenchmarkName, { rounds, python, sides: chosen }: CompareOptions): Promise<BenchmarkResult> {
  const { what, peers: all, warmUp, repeats, limits = {}, forms }: Benchmark = benchmarks[name]
  const wrong = chosen?.find((side) => !all.includes(side) && !forms?.includes(side))
  if (wrong !== undefined) {
    const known = [...(forms ?? []), ...all]
    throw new ArgumentError(`${name} has no side ${wrong}: ${known.length > 0 ? `choose of ${known.join(', ')}` : 'it has one'}`)
  }
  const among = (sides: readonly string[]) => sides.filter((side) => !chosen || chosen.includes(side))
  const peers = among(all)
  if (forms) return compareForms(name, { forms: among(forms), peers }, { rounds, python })
  const sides: Side[] = []
  const dir = mkdtempSync(join(tmpdir(), 'langevin-bench-'))
  try {
    const start = async (task: string) => (await Side.start('langevin', process.execPath, [ours, task, dir])).side
    ;(await start('model')).stop()
    if (Object.keys(limits).length > 0) {
      const own = await firstTimes(rounds, () => start(name))
      return { name, what, sides: [own], ...ratios([own], limits) }
    }
    sides.push(await start(name))
    const { without, versions } = await startPeers([name, dir], peers, python, sides)
    for (const side of sides) for (let i = 0; i < warmUp; i++) await side.run()
    const results = new Map(sides.map((side): [string, Figures] => [side.name, { least: {}, maxRss: 0 }]))
    for (let round = 0; round < rounds; round++) {
      for (const side of sides) {
        for (let i = 0; i < repeats; i++) note(results.get(side.name) as Figures, await side.run())
      }
    }
    const list = [...results].map(([side, result]) => ({ side, ...result }))
    const versioned = { ...(without ? { without } : {}), ...(versions ? { versions } : {}) }
    return { name, what, sides: list, ...versioned, ...ratios(list) }
  } finally {
    for (const side of sides) side.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Sides that would not fit in memory together: in each round each starts, opens the model, takes two steps, and ends. */
async function compareForms(
  name: BenchmarkName,
  { forms, peers }: { readonly forms: readonly string[]; readonly peers: readonly string[] },
  { rounds, python }: CompareOptions,
): Promise<BenchmarkResult> {
  const { what }: Benchmark = benchmarks[name]
  const { side: maker, ready } = await Side.start('langevin', process.execPath, [ours, `${name} model`])
  maker.stop()
  const dir = ready.dir as string
  const results = new Map<string, Figures>()
  let missing: { without?: string; versions?: unknown } = {}
  const measure = async (side: Side) => {
    const figures = results.get(side.name) ?? { least: {}, maxRss: 0 }
    results.set(side.name, figures)
    try {
      for (let i = 0; i < 2; i++) note(figures, await side.run())
    } finally {
      side.stop()
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const form of forms)
      await measure((await Side.start(`langevin ${form}`, process.execPath, [ours, name, dir, form])).side)
    for (const peer of missing.without ? [] : peers) {
      const sides: Side[] = []
      missing = await startPeers([name, dir], [peer], python, sides)
      for (const side of sides) await measure(side)
    }
  }
  const list = [...results].map(([side, result]) => ({ side, ...result }))
  const own = list.filter(({ side }) => side.startsWith('langevin'))
  const theirs = list.filter(({ side }) => !side.startsWith('langevin'))
  return { name, what, sides: list, ...missing, ...(own[0] && ratios([own[0], ...theirs])) }
}

/** The least figures of processes that each run once. */
async function firstTimes(rounds: number, start: () => Promise<Side>): Promise<SideResult> {
  const result: Figures = { least: {}, maxRss: 0 }
  for (let round = 0; round < rounds; round++) {
    const side = await start()
    try {
      note(result, await side.run())
    } finally {
      side.stop()
    }
  }
  return { side: 'langevin', ...result }
}

async function startPeers(
  [name, dir]: readonly [BenchmarkName, string],
  peers: readonly string[],
  python: string,
  sides: Side[],
) {
  if (peers.length === 0) return {}
  if (!existsSync(theirs(name))) return { without: 'PyTorch’s side is in the repository, not in the published package' }
  let versions: unknown
  for (const peer of peers) {
    try {
      const { side, ready } = await Side.start(`PyTorch ${peer}`, python, [theirs(name), name, peer, dir])
      sides.push(side)
      versions = ready.versions
    } catch (error) {
      if (error instanceof BenchError) return { without: error.message }
      throw error
    }
  }
  return { versions }
}

interface Figures {
  readonly least: Record<string, number>
  maxRss: number
}

function note(result: Figures, line: Readonly<Record<string, unknown>>): void {
  for (const [figure, value] of Object.entries(line)) {
    if (figure === 'maxRss') result.maxRss = Math.max(result.maxRss, value as number)
    else result.least[figure] = Math.min(result.least[figure] ?? Number.POSITIVE_INFINITY, value as number)
  }
}

/** From the sides, ours first. */
export function ratios(
  [own, ...peers]: readonly SideResult[],
  limits: Readonly<Record<string, number>> = {},
): { ratio?: number; memoryRatio?: number } {
  if (!own) return {}
  const allowed = Object.entries(limits).map(([figure, limit]) => limit / (own.least[figure] as number))
  if (allowed.length > 0) return { ratio: Math.min(...allowed) }
  if (peers.length === 0) return {}
  return {
    ratio: Math.min(...peers.map((peer) => peer.least.ms as number)) / (own.least.ms as number),
    memoryRatio: own.maxRss / Math.min(...peers.map((peer) => peer.maxRss)),
  }
}
