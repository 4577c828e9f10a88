import { copyFileSync, cpSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { transformerCheckpoint } from '../../../tests/transformers.ts'
import { fromSingleFile, kindOf, openWeightFile, readTensor, toSingleFile, writeSafetensors } from '../../checkpoints/index.ts'
import { input } from '../../core/tensor.ts'
import { finish } from '../../diffusion/index.ts'
import { ditConfig, ditTransformer } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { compile } from '../../runtime/program.ts'
import type { Weights } from '../../runtime/weights.ts'
import { loadPipeline } from '../load.ts'

const pickle = fileURLToPath(new URL('../../../parity/fixtures/dit-original/model.pt', import.meta.url))

/** The same tensors as safetensors. */
function asSafetensors(file: string, tensors: Weights = openWeightFile(pickle).tensors): string {
  writeSafetensors(
    file,
    [...tensors].map(([key, value]) => [key, value instanceof NdArray ? value : readTensor(value)]),
  )
  return file
}

test("the original's files are diffusers' network, as torch.save wrote them and as safetensors", async () => {
  const known = fixture('dit-original/out')
  const feeds = { x: tensorOf(known, 'sample'), t: tensorOf(known, 'timestep'), labels: known.tensors.get('labels') as NdArray }
  for (const file of [pickle, asSafetensors(join(temporaryFolder(), 'dit.safetensors'))]) {
    const { tensors } = openWeightFile(file)
    const single = fromSingleFile(tensors, file)
    const { pipeline, configs, warnings } = kindOf(single, tensors)
    expect([pipeline, warnings]).toEqual(['DiTPipeline', []])
    const { _class_name: _, ...fields } = configs.transformer as Record<string, unknown>
    const config = ditConfig(fields)
    expect(config).toMatchObject({ num_layers: 2, sample_size: 8, patch_size: 2, out_channels: 8, num_embeds_ada_norm: 10 })
    const network = ditTransformer(new Params(), config)
    const out = network(input('x', feeds.x.shape), input('t', [2]), input('labels', [2], 'i64'))
    const program = await compile({ outputs: { out }, weights: single.components.get('transformer') as Weights }, { threads: 1 })
    expect(maxDifference((await program.run(feeds)).out as NdArray, tensorOf(known, 'out'))).toBeLessThan(1e-4)
    await program.release()
  }
})

test('such a file makes pictures with the autoencoder beside it, or one that is named', async () => {
  const dir = temporaryFolder()
  const vae = join(transformerCheckpoint('dit'), 'vae')
  const file = join(dir, 'DiT-XL-2-256x256.pt')
  copyFileSync(pickle, file)
  await expect(loadPipeline(file)).rejects.toThrow(
    /\.pt \(vae\): is not in the file, which holds DiT's transformer alone: .*--vae/,
  )
  const made = async (options: object) => {
    const pipeline = await loadPipeline(file, { threads: 1, ...options })
    expect(pipeline.plan({ label: 3 }).settings).toMatchObject({ Sampler: 'DDIMScheduler', Class: '3' })
    expect(() => pipeline.plan({ label: 'goldfish' })).toThrow(/names none: give a number from 0 to 9/)
    const result = await finish(pipeline.generate({ label: 3, steps: 3, seed: 1 }))
    await pipeline.release()
    if (result.type !== 'pictures') throw new Error('no pictures')
    return result.pictures
  }
  const named = await made({ vae })
  expect(named.shape).toEqual([1, 3, 16, 16])
  cpSync(vae, join(dir, 'vae'), { recursive: true })
  expect(maxDifference(await made({}), named)).toBe(0)

  truncateSync(file, 40_000)
  await expect(loadPipeline(file)).rejects.toThrow(/DiT-XL-2-256x256\.pt/)
})

test('the way back, unless blocks have embeddings of their own', () => {
  const { tensors } = openWeightFile(pickle)
  const single = fromSingleFile(tensors)
  const back = toSingleFile(single)
  expect([...back.keys()].sort()).toEqual([...tensors.keys()].filter((key) => key !== 'pos_embed').sort())
  for (const [key, value] of back) {
    const [a, b] = [value, tensors.get(key) as NdArray].map((one) => (one instanceof NdArray ? one : readTensor(one)))
    expect(maxDifference(a as NdArray, b as NdArray)).toBe(0)
  }
  const transformer = new Map(single.components.get('transformer') as Weights)
  const own = 'transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight'
  transformer.set(own, NdArray.zeros([11, 16]))
  expect(() => toSingleFile({ family: 'dit', components: new Map([['transformer', transformer]]) })).toThrow(
    /1 keys have no place in a single file of dit.*embedding_table/s,
  )

  const strange = fromSingleFile(new Map([...tensors, ['blocks.0.attn.extra', NdArray.zeros([1])]]))
  expect(kindOf(strange, tensors).warnings).toEqual(['keys without a place were left: blocks.0.attn.extra'])
})
