/** Writes docs/schedulers.md: every class in parity with diffusers, the options its loops cover, and the largest error measured. */
import { writeFileSync } from 'node:fs'
import { samplerTable, scheduleTable } from '../src/diffusion/index.ts'
import { cases, diffusers, runCase } from '../tests/scheduler-cases.ts'
import { optionCases } from '../tests/scheduler-options.ts'

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

\`run\` is an async generator: it yields before every step and returns the sample. An unknown class or value is an error that lists
the known ones. An option that no class reads (a note, an option of another version) is ignored, with a sentence in
\`scheduler.warnings\`.

Classes that accept them (\`scheduler.accepts\`) take your own \`timesteps\` or \`sigmas\` instead of \`steps\`. Noise levels must fall; the
final 0 may be left out.

## By name

\`schedulerByName(config, name)\` replaces the sampler in a model's own config, and keeps the network's betas and prediction type. The
name is AUTOMATIC1111's, ComfyUI's or diffusers'; case, hyphens and underscores do not matter. \`mergeSchedulerConfig\` does the same for
a class and options.

\`\`\`ts
import { mergeSchedulerConfig, schedulerByName } from 'langevin/diffusion'

const own = { _class_name: 'PNDMScheduler', beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' }
console.log(schedulerByName(own, 'DPM++ 2M Karras').options)
console.log(schedulerByName(own, 'dpmpp_2m', 'karras').className)
console.log(mergeSchedulerConfig(own, { _class_name: 'EulerDiscreteScheduler', use_beta_sigmas: true }))
\`\`\`

**Samplers:** ${samplerTable.map((s) => s.name).join(', ')}, and any class of the table.

**Schedules:** ${scheduleTable.map((s) => s.name).join(', ')}.

## Parity

The table is what \`parity/schedulers-table.ts\` measured against diffusers ${diffusers.metadata.diffusers} and PyTorch
${diffusers.metadata.torch}: ${cases.length} full loops with a smooth, non-odd network, whole final tensors compared. The error is the largest
|Δ| over max(1, max |x|); the tests hold it below 1e-4.

| class | loops | options covered | largest error |
| --- | --- | --- | --- |
${table.join('\n')}

A second set has ${optionCases.length} configs: \`parity/scheduler_options.py\` runs every class with every option of every class, one at a time and
several at once, and records what diffusers returns, refuses or fails at. The tests check that langevin obeys the same options and
ignores the same.

## Known limits

- \`DPMSolverSDEScheduler\` draws its noise from the seeded generator, not from torchsde's Brownian tree, so its samples follow the
  same law but not the same draws (the loops above give diffusers our draws).
- \`solver_p\`, \`tau_func\` and \`scale_factors\` are code, which a config file cannot hold: they are refused.
- For some numbers of steps (61 of 1000) rounding gives NumPy's \`arange\` one trailing timestep too many. diffusers then makes a further
  step, at t = −1, for which it reads its tables from their noisy end. langevin makes as many steps as were asked for.
- Three combinations are refused: fresh noise on inverted flow levels (\`stochastic_sampling\` or \`FlowMatchLCMScheduler\` with
  \`invert_sigmas\`), which ends in pure noise in diffusers; \`use_dynamic_shifting\` without \`mu\`; and a predicted flow in
  \`DEISMultistepScheduler\` without \`use_flow_sigmas\`.
- With exponential levels and one step, EDM's classes start at σ_max, the level of the noise that they get; diffusers starts at σ_min.
- Every class accepts every \`beta_schedule\` and \`prediction_type\`; in diffusers some classes lack some of them.
`,
)
