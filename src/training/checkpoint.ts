import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { saving, syncFolder, temporaryIn } from '../checkpoints/atomic.ts'
import { openSafetensors, readTensor, writeSafetensors } from '../checkpoints/safetensors.ts'
import { LangevinError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'

/** A training run could not go on. */
export class TrainingError extends LangevinError {}

const NAME = /^checkpoint-(\d+)$/
const STATE = 'training_state.safetensors'
const RUN = 'run.json'

/** A training run as a folder `checkpoint-{step}` keeps it: the state's tensors, and what must not differ on resuming. */
export interface TrainingCheckpoint {
  readonly step: number
  readonly values: ReadonlyMap<string, NdArray>
  readonly run: Readonly<Record<string, unknown>>
}

/** Steps that have a checkpoint in a folder, the latest first. */
export function checkpointSteps(dir: string): number[] {
  if (!existsSync(dir)) return []
  const steps = readdirSync(dir).map((name) => NAME.exec(name)?.[1])
  return steps
    .filter((step) => step !== undefined)
    .map(Number)
    .sort((a, b) => b - a)
}

/** Writes `checkpoint-{step}` whole or not at all, then removes the oldest beyond `keep`. */
export function saveCheckpoint(dir: string, { step, values, run }: TrainingCheckpoint, keep = 2): string {
  const target = join(dir, `checkpoint-${step}`)
  saving(target, () => {
    mkdirSync(dir, { recursive: true })
    const temporary = temporaryIn(dir)
    mkdirSync(temporary)
    writeSafetensors(join(temporary, STATE), values)
    writeFileSync(join(temporary, RUN), `${JSON.stringify({ step, ...run }, null, 2)}\n`, { flush: true })
    syncFolder(temporary)
    rmSync(target, { recursive: true, force: true })
    renameSync(temporary, target)
    syncFolder(dir)
    for (const old of checkpointSteps(dir).slice(keep)) rmSync(join(dir, `checkpoint-${old}`), { recursive: true, force: true })
  })
  return target
}

/** Reads one checkpoint. */
export function readCheckpoint(dir: string, step: number): TrainingCheckpoint {
  const folder = join(dir, `checkpoint-${step}`)
  const { tensors } = openSafetensors(join(folder, STATE))
  const values = new Map([...tensors].map(([key, tensor]) => [key, readTensor(tensor)]))
  const { step: stored, ...run } = parseRun(join(folder, RUN))
  if (stored !== step) throw new TrainingError(`${folder}: its ${RUN} says step ${stored}; the folder was renamed or is damaged`)
  return { step, values, run }
}

function parseRun(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new TrainingError(`${file}: ${(cause as Error).message}; the checkpoint is damaged`, { cause })
  }
}

/** The latest checkpoint that reads whole; each damaged one before it is reported. */
export function latestCheckpoint(dir: string, warn: (message: string) => void): TrainingCheckpoint | undefined {
  for (const step of checkpointSteps(dir)) {
    try {
      return readCheckpoint(dir, step)
    } catch (error) {
      warn(`checkpoint-${step} cannot be used (${(error as Error).message}); trying the one before`)
    }
  }
  return undefined
}

/** The model of a checkpoint: the averages of its weights where it keeps them, else the weights, by key. */
export function checkpointWeights({ values }: TrainingCheckpoint): Map<string, NdArray> {
  const keys = [...values.keys()].filter((name) => !name.includes('@'))
  return new Map(keys.map((key) => [key, (values.get(`${key}@ema`) ?? values.get(key)) as NdArray]))
}
