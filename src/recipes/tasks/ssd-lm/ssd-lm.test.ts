import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../../../tests/checkpoints.ts'
import { range } from '../../../core/shape.ts'
import { finish, loadPipeline, type Result } from '../../../pipelines/index.ts'
import { runTraining } from '../../../training/run.ts'
import { openRecipe, prepare } from '../../open.ts'

const textOf = (result: Result) => (result.type === 'text' ? (result.texts[0] as string) : '')

/** Texts of two kinds, which have no word in common. */
function twoKinds(dir: string): string {
  const words = { sea: ['ship', 'wave', 'sail', 'storm'], land: ['field', 'plough', 'barn', 'corn'] }
  const line = (i: number) => {
    const kind = i % 2 ? 'sea' : 'land'
    return JSON.stringify({
      kind,
      text: range(16)
        .map((k) => words[kind][(i * 3 + k * k) % 4])
        .join(' '),
    })
  }
  writeFileSync(join(dir, 'texts.jsonl'), range(80).map(line).join('\n'))
  return join(dir, 'texts.jsonl')
}

async function trained(dir: string, name: string, recipe: Record<string, unknown>): Promise<string> {
  const file = join(dir, `${name}.json`)
  writeFileSync(file, JSON.stringify(recipe))
  const { job, config } = await prepare(openRecipe(file), { threads: 1 })
  await runTraining(job, config, { dir: join(dir, name), stream: { write: () => {} } })
  return join(dir, name)
}

test('an SSD-LM and a classifier learn a folder of texts; guided, the one writes what the other is asked for', async () => {
  const dir = temporaryFolder()
  const shared = { data: { kind: 'texts', train_data_dir: twoKinds(dir) }, tokenizer: { size: 290 } }
  const training = { train_batch_size: 16, learning_rate: 0.01, lr_warmup_steps: 1, ema_decay: 0 }
  const network = { hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64 }
  const model = await trained(dir, 'model', {
    ...{ recipe: 'ssd-lm', ...shared, network, length: 12, block_size: 4, one_hot_value: 3 },
    training: { ...training, max_train_steps: 150, validation_steps: 150, validation_num_inference_steps: 4 },
  })
  const row = readFileSync(join(model, 'validation.csv'), 'utf8').trim().split('\n')[1] ?? ''
  const [, loss25, loss50, loss75] = row.split(',').map(Number)
  // The less noise, the surer.
  expect(loss25).toBeLessThan(loss50 as number)
  expect(loss50).toBeLessThan(loss75 as number)
  expect(readFileSync(join(model, 'samples', 'step-150.txt'), 'utf8').length).toBeGreaterThan(4)
  const classifier = await trained(dir, 'classifier', {
    ...{ recipe: 'text-classifier', ...shared, network, length: 4, attribute: 'kind' },
    training: { ...training, max_train_steps: 60, validation_steps: 60 },
  })
  expect(Number(readFileSync(join(classifier, 'validation.csv'), 'utf8').trim().split('\n')[1]?.split(',')[2])).toBeGreaterThan(
    0.9,
  )

  const pipeline = await loadPipeline(join(model, 'model'), { classifier: join(classifier, 'model') })
  const written = async (guide?: string) => {
    let sea = 0
    for (const seed of range(6)) {
      const run = { length: 8, steps: 12, seed, ...(guide && { guide }) }
      const text = textOf(await finish(pipeline.generate(run)))
      sea += text.match(/ship|wave|sail|storm/g)?.length ?? 0
      sea -= text.match(/field|plough|barn|corn/g)?.length ?? 0
    }
    return sea
  }
  const [toSea, toLand] = [await written('sea:400'), await written('land:400')]
  expect(toSea).toBeGreaterThan(toLand + 4)
  expect(() => pipeline.plan({ guide: 'sky:1' })).toThrow(/knows no sky; it tells land, sea apart/)
  expect(() => pipeline.plan({ block: 12 })).toThrow(/has seen 12 tokens at most/)
  await pipeline.release()
  const alone = await loadPipeline(join(model, 'model'))
  expect(() => alone.plan({ guide: 'sea:1' })).toThrow(/has no classifier; name its folder with --classifier/)
  await alone.release()
})

test('a folder as the reference writes it opens: a RoBERTa, and two layers in files of their own', async () => {
  const fixtures = fileURLToPath(new URL('../../../../parity/fixtures/text/', import.meta.url))
  const pipeline = await loadPipeline(join(fixtures, 'ssd-lm'), { tokenizer: join(fixtures, 'llada') })
  const steps: number[] = []
  const result = await finish(pipeline.generate({ length: 5, steps: 3, projection: 'multi-hot' }), ({ done }) => steps.push(done))
  await pipeline.release()
  expect(steps).toEqual([0, 1, 2, 3, 4, 5])
  expect(textOf(result).length).toBeGreaterThan(0)
})
