import { input } from '../../../src/core/index.ts'
import { NdArray } from '../../../src/runtime/ndarray.ts'
import { compile } from '../../../src/runtime/program.ts'
import { engineFor } from '../../../src/runtime/web/engine.ts'
import { told } from '../../../src/web/worker/errors.ts'

const failure = (work: () => Promise<unknown>) =>
  work().then(
    () => 'no error',
    (cause: unknown) => told(cause).message,
  )

/** The GPU's sums, then what is said once it is lost. */
export async function lostGpu(): Promise<{ readonly sum: number; readonly lost: string }> {
  const x = input('x', [64, 64])
  const program = await compile({ outputs: { y: x.matmul(x).sum() } }, { device: 'webgpu' })
  const feeds = { x: NdArray.full([64, 64], 1) }
  const sum = (await program.run(feeds)).y?.data[0] as number
  const { env } = await engineFor('webgpu')
  const device = (await env.webgpu.device) as unknown as { destroy(): void; lost: Promise<unknown> }
  device.destroy()
  await device.lost
  return { sum, lost: await failure(() => program.run(feeds)) }
}

/** What is said where WebAssembly has not the memory. */
export async function tooLarge(): Promise<string> {
  const x = input('x', [1, 1])
  const large = x.expand([2 ** 15, 32_700]).exp()
  const program = await compile({ outputs: { y: large.add(large.sqrt()).slice(0, 0, 1).sum() } }, { rewrite: false })
  return failure(() => program.run({ x: NdArray.full([1, 1], 1) }))
}
