/** Writes docs/schedulers.md: every class in parity with diffusers, the options its loops cover, and the largest error measured. */
import { writeFileSync } from 'node:fs'
import { cases, diffusers, runCase } from '../tests/scheduler-cases.ts'

const rows = new Map<string, { loops: number; options: Set<string>; error: number }>()
for (const [i, { class: name, config, run }] of cases.entries()) {
  const row = rows.get(name) ?? { loops: 0, options: new Set<string>(), error: 0 }
  row.loops++
  row.error = Math.max(row.error, (await runCase(i)).error)
  for (const [key, value] of Object.entries({ ...config, ...run }))
    if (key !== 'steps') row.options.add(typeof value === 'string' ? `${key}=${value}` : key)
  rows.set(name, row)
}
const table = [...rows].map(
  ([name, { loops, options, error }]) => `| ${name} | ${loops} | ${[...options].sort().join(', ')} | ${error.toExponential(1)} |`,
)
writeFileSync(
  new URL('../docs/schedulers.md', import.meta.url),
  `# Schedulers

\`schedulerFromConfig(config)\` takes a diffusers \`scheduler_config.json\` and samples with diffusers' numbers: the same timesteps,
the same draws for a seed, the same sample.

\`\`\`ts
import { Generator, type NdArray, schedulerFromConfig } from 'langevin/diffusion'

const scheduler = schedulerFromConfig({ _class_name: 'DPMSolverMultistepScheduler', use_karras_sigmas: true })
const noise = new Generator(0).randn([1, 3, 8, 8]).mul(scheduler.initialSigma(20))
const network = (x: NdArray, t: number) => x.mul(0.9 - t / 10_000)
for await (const { i, denoised } of scheduler.run(network, noise, { steps: 20, seed: 0 })) console.log(i, denoised.std().item())
\`\`\`

\`run\` is an async generator: it yields before every step and returns the sample. An unknown class or option is an error that
lists the known ones.

The table is what \`parity/schedulers-table.ts\` measured against diffusers ${diffusers.metadata.diffusers} and PyTorch
${diffusers.metadata.torch}: ${cases.length} full loops with a smooth, non-odd network, whole final tensors compared. The error is the largest
|Δ| over max(1, max |x|); the tests hold it below 1e-4.

| class | loops | options covered | largest error |
| --- | --- | --- | --- |
${table.join('\n')}

Known limits: \`DPMSolverSDEScheduler\` draws its noise from the seeded generator, not from torchsde's Brownian tree, so its
samples follow the same law but not the same draws (the loops above give diffusers our draws). \`solver_p\`, \`tau_func\` and
\`scale_factors\` take code, not numbers, and are refused.
`,
)
