import { LangevinError } from '../core/errors.ts'

/** A training run could not start or go on. */
export class TrainingError extends LangevinError {}
