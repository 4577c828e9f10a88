import { z } from 'zod'
import { unmaskingOrders } from '../../diffusion/index.ts'

export const options = z.object({
  prompt: z.string().default('').meta({ description: 'what the text begins with, or the message of a conversation' }),
  suffix: z.string().optional().meta({ description: 'what the text ends with: what stands between is filled in' }),
  length: z
    .int()
    .positive()
    .optional()
    .meta({ description: 'how many tokens are written; 128 unless given, or as many as the model has seen' }),
  steps: z.int().positive().optional().meta({ description: 'calls of the network; one for each token unless given' }),
  block: z.int().positive().optional().meta({
    description: 'tokens that are decided before those behind them; all together unless given, or as the model was trained',
  }),
  order: z.enum(unmaskingOrders).optional().meta({
    description:
      'which token is decided first: the surest (confidence, margin, entropy), at random, left, or each by chance (origin)',
  }),
  temperature: z.number().min(0).optional().meta({
    description: '0 takes the likeliest token, 1 draws as the model thinks; 0 for LLaDA and Dream, 1 for the others unless given',
  }),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .meta({ description: 'draws only from the likeliest tokens that together have this share' }),
  topK: z.int().positive().optional().meta({ description: 'draws only from so many of the likeliest tokens' }),
  threshold: z.number().min(0).max(1).optional().meta({
    description: 'decides every token that the model is at least so sure of: several a step, and fewer steps',
  }),
  guidance: z.number().min(0).default(0).meta({
    description: 'how much more the prompt counts than it would: LLaDA and Dream (classifier-free guidance); 0 is not at all',
  }),
  raw: z.boolean().default(false).meta({
    description: 'give the prompt as it is, not as a message, to a model that was tuned for conversations',
  }),
  seed: z.int().default(0).meta({ description: 'of the random numbers: the same seed, the same text' }),
  num: z.int().positive().default(1).meta({ description: 'how many texts, of the seeds seed, seed + 1, …' }),
})
export type TextOptions = z.output<typeof options>
