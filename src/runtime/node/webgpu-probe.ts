/*
 * Run by `probeWebgpu` in a process of its own, since a driver that crashes takes its process along: tries the GPU and
 * prints what it found as one line of JSON.
 */
import { input } from '../../core/tensor.ts'
import { fusedAttentionWorks } from '../gpu.ts'
import { NdArray } from '../ndarray.ts'
import { compile, evaluate } from '../program.ts'

const size = 256
const x = input('x', [size, size])
const feeds = { x: NdArray.full([size, size], 1) }
const program = await compile({ outputs: { y: x.matmul(x).sum() } }, { device: 'webgpu', fallback: false })
await program.run(feeds)
const start = performance.now()
const { y } = await program.run(feeds)
const gigaflops = (2 * size ** 3) / (performance.now() - start) / 1e6
const right = y?.data[0] === size ** 3

const half = input('x', [2], 'f16')
const f16 = await evaluate({ y: half.add(half) }, { x: NdArray.zeros([2], 'f16') }, { device: 'webgpu' }).then(
  () => true,
  () => false,
)
process.stdout.write(`${JSON.stringify({ right, gigaflops, f16, fusedAttention: await fusedAttentionWorks() })}\n`)
