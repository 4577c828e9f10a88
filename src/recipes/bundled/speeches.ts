import type { Recipe, TrainingFlags } from '../recipe.ts'
import { recipeOf } from '../recipe.ts'
import { arType, bd3lmType, mdlmType, seddType } from '../tasks/language/job.ts'
import { textClassifierType } from '../tasks/ssd-lm/classifier.ts'
import { ssdLmType } from '../tasks/ssd-lm/job.ts'

/** What the four have in common, so that they can be compared: texts, vocabulary, network, tokens of a step. */
const config = {
  data: { kind: 'speeches' as const },
  tokenizer: { size: 2048 },
  length: 128,
  network: { hidden_dim: 160, cond_dim: 32, n_blocks: 5, n_heads: 5 },
  validation_prompts: ['', 'Fellow citizens of the Senate and of the House of Representatives:', 'My fellow Americans,'],
}

const training = (steps: number): TrainingFlags => ({
  train_batch_size: 16,
  max_train_steps: steps,
  lr_decay_steps: Math.round(0.3 * steps),
})

/** Addresses by masked diffusion. */
export const speechesMdlm: Recipe = recipeOf(mdlmType, {
  summary: 'MDLM of the State of the Union addresses, with its own vocabulary',
  config,
  training: training(5000),
})

/** The same by scores. */
export const speechesSedd: Recipe = recipeOf(seddType, {
  summary: 'SEDD of the State of the Union addresses, beside speeches-mdlm',
  config,
  training: training(5000),
})

/** The same in blocks: a step sees its texts twice, once clean. */
export const speechesBd3: Recipe = recipeOf(bd3lmType, {
  summary: 'BD3-LM of the State of the Union addresses in blocks of 16 tokens, beside speeches-mdlm',
  config: { ...config, block_size: 16, interval: [0.3, 0.8] },
  training: training(2500),
})

/** The same a token after another. */
export const speechesAr: Recipe = recipeOf(arType, {
  summary: 'the causal twin of speeches-mdlm',
  config,
  training: training(5000),
})

/** Addresses on the simplex. */
export const speechesSsdLm: Recipe = recipeOf(ssdLmType, {
  summary: 'SSD-LM of the State of the Union addresses in blocks of 16 tokens',
  config: {
    ...{ data: config.data, tokenizer: config.tokenizer, length: config.length, validation_prompts: config.validation_prompts },
    network: { hidden_size: 160, num_hidden_layers: 5, num_attention_heads: 5, intermediate_size: 640 },
    block_size: 16,
    // A clean token has two fifths of 2,048 tokens' simplex; by K = 5 it would have all of it at most times.
    one_hot_value: 3.6,
  },
  training: training(3000),
})

/** The century in which an address was given, told from 16 tokens: guides speeches-ssd-lm. */
export const speechesClassifier: Recipe = recipeOf(textClassifierType, {
  summary: 'when State of the Union addresses were given, for speeches-ssd-lm',
  config: { data: config.data, tokenizer: config.tokenizer, length: 16, attribute: 'year', edges: [1860, 1945] },
  training: { ...training(2000), train_batch_size: 64, validation_steps: 500 },
})
