import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { saveModel } from '../../../checkpoints/index.ts'
import { clip, clipConfig } from '../../../models/clip/index.ts'
import { Params } from '../../../nn/params.ts'
import { Generator } from '../../../runtime/random.ts'

/** A CLIP that has learnt nothing, of embeddings of 16 channels and texts' states of others. */
export function clipFolder(desk: string, hidden: number): string {
  const dir = join(desk, `clip-${hidden}`)
  cpSync(fileURLToPath(new URL('../../../../parity/fixtures/tokenizer/sd1', import.meta.url)), dir, { recursive: true })
  const text = { hidden_size: hidden, intermediate_size: 24, num_hidden_layers: 1, num_attention_heads: 2, vocab_size: 1000 }
  const ends = { max_position_embeddings: 16, eos_token_id: 2 }
  const vision = {
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    image_size: 16,
    patch_size: 8,
  }
  const fields = { projection_dim: 16, text_config: { ...text, ...ends }, vision_config: vision }
  const p = new Params()
  clip(p, clipConfig(fields, 'clip'))
  saveModel(dir, { architectures: ['CLIPModel'], model_type: 'clip', ...fields }, p.initialise(new Generator(1)))
  return dir
}
