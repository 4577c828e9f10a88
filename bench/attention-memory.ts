/*
 * Peak memory of attention against its tokens: node bench/attention-memory.ts [TOKENS …]
 *
 * Each count of tokens runs in a process of its own: self-attention of a diffusion transformer's block, 4 heads of 64 channels, once. Above
 * what the process needs for 16 tokens stands what the tokens need; the matrix of all pairs, which is never made, would take what the last
 * column says.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { input } from '../src/core/tensor.ts'
import { Params } from '../src/nn/params.ts'
import { tokenAttention } from '../src/nn/token-attention.ts'
import { compile, Generator } from '../src/runtime/index.ts'

const [HEADS, WIDTH] = [4, 256]

async function peak(tokens: number): Promise<number> {
  const params = new Params()
  const y = tokenAttention(params, { width: WIDTH, heads: HEADS })(input('x', [1, tokens, WIDTH]))
  const program = await compile({ outputs: { y }, weights: params.initialise(new Generator(0)) }, { threads: 1 })
  await program.run({ x: new Generator(1).randn([1, tokens, WIDTH]) })
  return process.resourceUsage().maxRSS * 1024
}

function measured(tokens: number): number {
  const { stdout, stderr, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), 'one', String(tokens)], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(stderr)
  return Number(stdout)
}

const [first, second] = process.argv.slice(2)
if (first === 'one') console.log(await peak(Number(second)))
else {
  const counts = process.argv.slice(2).map(Number)
  const floor = measured(16)
  console.log('tokens  megabytes  bytes a token  the matrix of pairs, megabytes')
  for (const tokens of counts.length > 0 ? counts : [1024, 4096, 16_384]) {
    const bytes = measured(tokens) - floor
    const row = [tokens, (bytes / 1e6).toFixed(), (bytes / tokens).toFixed(), ((4 * HEADS * tokens ** 2) / 1e6).toFixed()]
    console.log(row.map((cell, i) => String(cell).padStart([6, 9, 13, 30][i] as number)).join('  '))
  }
}
