import type { SceneSplit } from '../../data/index.ts'
import type { Rate } from './bootstrap.ts'

/** Numbers of one part of the model, a row each, by the split of the scenes that they are measured on. */
export interface PartQuality {
  readonly num: number
  readonly splits: readonly SceneSplit[]
  /** By what is measured, then by split. */
  readonly rows: readonly {
    readonly name: string
    readonly unit: 'share' | 'dB' | '%' | 'nats' | ''
    readonly values: readonly (number | Rate)[]
  }[]
}
