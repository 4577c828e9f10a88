import { z } from 'zod'
import { writeJson } from '../../checkpoints/json.ts'
import type { Ranges } from '../../runtime/index.ts'
import { cacheFolder, existsSync, join, readFileSync, sha256, statSync } from '../../runtime/system.ts'
import type { Weights } from '../../runtime/weights.ts'

const number = z.number()
const rangesSchema = z.record(z.string(), z.tuple([number, number, number, number]))

/** Where ranges of weights are kept between runs: by their files, their sizes and times. None where some lie in no file. */
function placeOf(weights: Weights): string | undefined {
  const files = new Set<string>()
  for (const value of weights.values()) {
    if (!('file' in value)) return undefined
    files.add(value.file)
  }
  const identity = [...files].sort().map((file) => {
    const { size, mtimeMs } = statSync(file)
    return [file, size, mtimeMs]
  })
  const hash = sha256(JSON.stringify(identity)).slice(0, 32)
  return join(cacheFolder('calibration'), `${hash}.json`)
}

/** The ranges that an earlier run found for these weights, if any can be read. */
export function keptRanges(weights: Weights): Ranges | undefined {
  const file = placeOf(weights)
  if (file === undefined || !existsSync(file)) return undefined
  try {
    return rangesSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return undefined // Calibrating again mends it.
  }
}

export function keepRanges(weights: Weights, ranges: Ranges): void {
  const file = placeOf(weights)
  if (file !== undefined) writeJson(file, { ...ranges })
}
