import { z } from 'zod'
import { type Environment, environment } from '../runtime/node/environment.ts'
import { type Benchmark, type BenchmarkName, type BenchmarkResult, benchmarks, compare, subject } from './bench/compare.ts'
import { defineCommand } from './command.ts'

const names = Object.keys(benchmarks) as [BenchmarkName, ...BenchmarkName[]]
const summaries = names.map((name) => `  ${name.padEnd(18)} ${benchmarks[name].what}`).join('\n')

const milliseconds = (ms: number) => `${ms.toFixed(ms < 100 ? 1 : 0)} ms`

function inWords(figure: string, value: number): string {
  if (figure === 'loadAndFirstStep') return `load and first step ${milliseconds(value)}`
  if (figure === 'percent') return `${value.toFixed(2)} %`
  if (figure === 'psnr') return `${value.toFixed(1)} dB`
  return figure === 'ms' ? milliseconds(value) : `${figure} ${milliseconds(value)}`
}

/** A benchmark as lines of text; the last is the ratio, where there is something to compare with. */
export function report({ name, what, sides, without, ratio, memoryRatio }: BenchmarkResult): string {
  const width = Math.max(...sides.map(({ side }) => side.length))
  const rows = sides.map(({ side, least, maxRss }) => {
    const figures = Object.entries(least).map(([figure, value]) => inWords(figure, value))
    return `  ${side.padEnd(width)}  ${figures.join(', ')}, peak memory ${(maxRss / 1e6).toFixed()} MB`
  })
  const { subject: own = subject, peers, limits }: Benchmark = benchmarks[name]
  const expected = peers.length > 0 || limits !== undefined
  return [
    `${name}: ${own}: ${what}`,
    ...rows,
    ...(without ? [`  without PyTorch (${without}); choose another Python with --python`] : []),
    ...(memoryRatio === undefined ? [] : [`  memory ${memoryRatio.toFixed(2)} of PyTorch's`]),
    ...(expected ? [`  ratio ${ratio === undefined ? 'unknown' : ratio.toFixed(2)}`] : []),
  ].join('\n')
}

const machineLine = ({ cpu, memory, platform, node, packages }: Environment) =>
  `${cpu.model}, ${cpu.cores} cores, ${(memory.total / 2 ** 30).toFixed()} GiB; ${platform}; Node ${node}, ONNX Runtime ${packages['onnxruntime-node']}`

export const bench = defineCommand({
  name: 'bench',
  summary: 'measure this machine, next to PyTorch where it is installed',
  description: `Measures langevin, and PyTorch in the same run where a Python with torch and diffusers is found (LANGEVIN_PYTHON, else python3). Each side runs in a process of its own. The sides take turns, and the shortest time of all rounds counts. Run nothing else meanwhile. The ratio is PyTorch's best time divided by langevin's: above 1, langevin is faster. For trace-and-compile and sampler-step it is the allowed time divided by the measured time, at its lowest.\n\nBenchmarks, on the ${subject}:\n${summaries}`,
  positional: ['name'],
  options: z.object({
    name: z.enum(names).optional().meta({
      description:
        'one benchmark; by default all except sd-unet, sd3-transformer and modes, which write 4 GB each to the cache, t5, which writes 2.4 GB, sd3-picture, which writes 15 GB, and upscale-rrdb and upscale-swinir, which take minutes',
    }),
    rounds: z.int().min(1).default(5).meta({ description: 'turns of each side' }),
    sides: z.string().optional().meta({ description: 'sides to compare, for example float,eager; by default all' }),
    python: z.string().optional().meta({ description: 'the Python that runs PyTorch' }),
    json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
  }),
  examples: [
    ['langevin bench', 'everything, in some minutes'],
    ['langevin bench unet-inference --rounds 10', 'one, more carefully'],
    ['langevin bench sd-unet --sides float,eager', 'only two sides of a large benchmark'],
    ['langevin bench --json > results.json', 'with the machine, for keeping'],
  ],
  async run({ name, rounds, sides, python = process.env.LANGEVIN_PYTHON ?? 'python3', json }, io) {
    const machine = environment()
    if (!json) io.out.write(`${machineLine(machine)}\n`)
    const results: BenchmarkResult[] = []
    for (const one of name ? [name] : names.filter((each) => !('forms' in benchmarks[each]))) {
      io.err.write(`${one} …\n`)
      const result = await compare(one, { rounds, python, sides: sides?.split(',') })
      results.push(result)
      if (!json) io.out.write(`\n${report(result)}\n`)
    }
    if (json) io.out.write(`${JSON.stringify({ date: new Date().toISOString(), machine, rounds, benchmarks: results })}\n`)
  },
})
