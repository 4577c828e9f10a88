import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { mmditConfig, t5Config } from '../../models/index.ts'
import { sd3Step, writeCheckpoint } from './sd3-transformer.ts'
import { t5Prompt, writeT5 } from './t5.ts'

test('each form opens the checkpoint with its first step, and times the next', async () => {
  const config = mmditConfig({
    ...{ num_layers: 2, num_attention_heads: 2, attention_head_dim: 32, caption_projection_dim: 64, pos_embed_max_size: 8 },
    ...{ joint_attention_dim: 64, pooled_projection_dim: 64, in_channels: 4, out_channels: 4, sample_size: 8 },
  })
  const size = { latents: 8, tokens: 5 }
  const dir = join(temporaryFolder(), 'transformer')
  await writeCheckpoint(dir, config, size)
  for (const form of ['float', 'int8', 'int4'] as const) {
    const step = sd3Step(dir, form, size)
    const figures = [await step(), await step()]
    expect(figures).toEqual([{ loadAndFirstStep: expect.any(Number) }, { ms: expect.any(Number) }])
    expect(figures[1]?.ms).toBeGreaterThan(0)
  }
})

test('the encoder of T5 alike', async () => {
  const config = t5Config({
    ...{ vocab_size: 64, d_model: 32, d_kv: 16, d_ff: 64, num_layers: 2, num_heads: 2, feed_forward_proj: 'gated-gelu' },
  })
  const dir = join(temporaryFolder(), 't5')
  await writeT5(dir, config, 6)
  for (const form of ['float', 'int8', 'int4'] as const) {
    const prompt = t5Prompt(dir, form, 6)
    expect([await prompt(), await prompt()]).toEqual([{ loadAndFirstStep: expect.any(Number) }, { ms: expect.any(Number) }])
  }
})
