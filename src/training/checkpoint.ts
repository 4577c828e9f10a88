import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { saving, syncFolder, temporaryIn } from '../checkpoints/atomic.ts'
import { openSafetensors, readTensor, writeSafetensors } from '../checkpoints/safetensors.ts'
import { inWords } from '../core/system-error.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { TrainingError } from './errors.ts'
import { makeFolder } from './folder.ts'

const NAME = /^checkpoint-(\d+)$/
const STATE = 'training_state.safetensors'
const RUN = 'run.json'

export const checkpointFolder = (dir: string, step: number): string => join(dir, `checkpoint-${step}`)

/** A training run as a folder `checkpoint-{step}` keeps it: the state's tensors, and what must not differ on resuming. */
export interface TrainingCheckpoint {
  readonly step: number
  readonly values: ReadonlyMap<string, NdArray>
  readonly run: Readonly<Record<string, unknown>>
  /**
   * Which of the runs in its folder made it. A run begun anew there, or from an earlier checkpoint than the newest, has the next number;
   * 0 where none is written.
   */
  readonly generation?: number
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

/** Steps with the run that made each, by `run.json` alone: the newest run's first. One that cannot be read comes before all. */
export function listCheckpoints(dir: string): { step: number; generation: number }[] {
  const found = checkpointSteps(dir).map((step) => ({ step, generation: generationOf(checkpointFolder(dir, step)) }))
  return found.sort((a, b) => (a.generation === b.generation ? b.step - a.step : b.generation - a.generation))
}

function generationOf(folder: string): number {
  try {
    return numberOf(parseRun(join(folder, RUN)).generation)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

const numberOf = (generation: unknown) => (typeof generation === 'number' ? generation : 0)

/**
 * Writes `checkpoint-{step}` whole or not at all, then removes the oldest of the same run beyond `keep`. Those of other runs, and those after
 * this step, stay: the newest good one is never among what is removed.
 */
export function saveCheckpoint(dir: string, { step, values, run, generation = 0 }: TrainingCheckpoint, keep = 2): string {
  const target = checkpointFolder(dir, step)
  saving(target, () => {
    makeFolder(dir)
    const temporary = temporaryIn(dir)
    mkdirSync(temporary)
    writeSafetensors(join(temporary, STATE), values)
    const kept = { step, ...(generation > 0 && { generation }), ...run }
    writeFileSync(join(temporary, RUN), `${JSON.stringify(kept, null, 2)}\n`, { flush: true })
    syncFolder(temporary)
    replaceFolder(temporary, target, dir)
    syncFolder(dir)
    const own = listCheckpoints(dir).filter((one) => one.generation === generation && one.step <= step)
    for (const old of own.slice(keep)) rmSync(checkpointFolder(dir, old.step), { recursive: true, force: true })
  })
  return target
}

/** Puts a folder in the place of one that may be there, which is removed last. */
function replaceFolder(from: string, to: string, dir: string): void {
  const before = existsSync(to) ? temporaryIn(dir) : undefined
  if (before) renameSync(to, before)
  renameSync(from, to)
  if (before) rmSync(before, { recursive: true, force: true })
}

/** Reads one checkpoint. */
export function readCheckpoint(dir: string, step: number): TrainingCheckpoint {
  const folder = checkpointFolder(dir, step)
  const { tensors } = openSafetensors(join(folder, STATE))
  const values = new Map([...tensors].map(([key, tensor]) => [key, readTensor(tensor)]))
  const { step: stored, generation, ...run } = parseRun(join(folder, RUN))
  if (stored !== step) throw new TrainingError(`${folder}: its ${RUN} says step ${stored}; the folder was renamed or is damaged`)
  return { step, values, run, generation: numberOf(generation) }
}

function parseRun(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new TrainingError(`${file}: ${inWords(cause)}; the checkpoint is damaged`, { cause })
  }
}

/** The latest checkpoint of the newest run that reads whole; each damaged one before it is reported. */
export function latestCheckpoint(dir: string, warn: (message: string) => void): TrainingCheckpoint | undefined {
  for (const { step } of listCheckpoints(dir)) {
    try {
      return readCheckpoint(dir, step)
    } catch (error) {
      warn(`checkpoint-${step} cannot be used (${inWords(error)}); trying the one before`)
    }
  }
  return undefined
}

/** The checkpoint of a name, `checkpoint-400` or a path that ends so. @throws TrainingError that lists those that are there */
export function namedCheckpoint(dir: string, name: string): TrainingCheckpoint {
  const step = Number(NAME.exec(basename(name))?.[1])
  const steps = checkpointSteps(dir)
  if (!steps.includes(step)) {
    const there = steps.length > 0 ? steps.map((one) => `checkpoint-${one}`).join(', ') : 'none'
    throw new TrainingError(`${dir} has no ${name}; give one of its checkpoints (${there}), latest or no`)
  }
  return readCheckpoint(dir, step)
}

/** The model of a checkpoint: the averages of its weights where it keeps them, else the weights, by key. */
export function checkpointWeights({ values }: TrainingCheckpoint): Map<string, NdArray> {
  const keys = [...values.keys()].filter((name) => !name.includes('@'))
  return new Map(keys.map((key) => [key, (values.get(`${key}@ema`) ?? values.get(key)) as NdArray]))
}
