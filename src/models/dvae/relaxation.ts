import type { Tensor } from '../../core/tensor.ts'

/** The least that a uniform number is taken for, so that its logarithm is finite. */
const LEAST = 1e-20

/** Gumbel noise of uniform numbers in [0, 1). */
export const gumbel = (uniform: Tensor): Tensor => uniform.maximum(LEAST).log().neg().maximum(LEAST).log().neg()

/**
 * A sample of the codes that a gradient passes through (Jang et al. 2016; Maddison et al. 2016): softmax((logits + g)/τ) over axis 1. As
 * τ falls to 0 it becomes one-hot, a sample of the categorical distribution itself.
 *
 * @param uniform numbers in [0, 1) of the shape of the logits
 * @param temperature τ, a number or one element
 */
export const relaxedCodes = (logits: Tensor, uniform: Tensor, temperature: Tensor | number): Tensor =>
  logits.add(gumbel(uniform)).div(temperature).softmax(1)

/** A sample of the categorical distribution by the same noise: the numbers of the codes, i64, without axis 1. */
export const sampledCodes = (logits: Tensor, uniform: Tensor): Tensor => logits.add(gumbel(uniform)).argmax(1)

/** Numbers of codes [B, h, w] as shares of K codes, one-hot: [B, K, h, w]. */
export const oneHot = (codes: Tensor, classes: Tensor): Tensor =>
  codes
    .unsqueeze(1)
    .eq(classes.reshape([1, classes.size, 1, 1]))
    .cast('f32')

/** A value that moves from one to another over so many steps along half a cosine, and stays. */
export interface CosineSchedule {
  readonly from: number
  readonly to: number
  readonly steps: number
}

/** The schedules of the paper (appendix A.2): τ from 1 to 1/16 over 150,000 steps, β from 0 to 6.6 over 5,000. */
export const temperatureSchedule: CosineSchedule = { from: 1, to: 1 / 16, steps: 150_000 }
export const betaSchedule: CosineSchedule = { from: 0, to: 6.6, steps: 5000 }

/** A schedule's value at a step, counted from 0. */
export const scheduled = ({ from, to, steps }: CosineSchedule, step: number): number =>
  to + (from - to) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, step / steps)))
