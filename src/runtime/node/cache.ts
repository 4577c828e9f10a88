import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { ArgumentError, LangevinError } from '../../core/errors.ts'
import { inWords } from '../../core/system-error.ts'

/** Bytes of packed weights that are kept unless `LANGEVIN_CACHE_LIMIT` says otherwise. */
const LIMIT = 20e9

/** Whether nothing is to be kept between processes: `LANGEVIN_CACHE=off`. */
export const isCacheOff = (): boolean => process.env.LANGEVIN_CACHE === 'off'

/**
 * Bytes of packed weights that may be kept: `LANGEVIN_CACHE_LIMIT`, in GB.
 * @throws ArgumentError for a limit that is no number
 */
export function cacheLimit(): number {
  const text = process.env.LANGEVIN_CACHE_LIMIT
  if (!text) return LIMIT
  const limit = Number(text) * 1e9
  if (!(limit >= 0)) throw new ArgumentError(`LANGEVIN_CACHE_LIMIT is "${text}": give a number of GB, such as 20`)
  return limit
}

/**
 * The folder for what can be made or fetched again, created where it is missing: `LANGEVIN_CACHE`, else `langevin` in the
 * system's place for caches (`XDG_CACHE_HOME` or ~/.cache, ~/Library/Caches, %LOCALAPPDATA%). Where the cache is off, a folder
 * that this process removes when it ends.
 *
 * @param parts a folder within it
 * @throws LangevinError when it cannot be created
 */
export function cacheFolder(...parts: readonly string[]): string {
  const folder = join(isCacheOff() ? ownFolder() : process.env.LANGEVIN_CACHE || join(systemCache(), 'langevin'), ...parts)
  try {
    mkdirSync(folder, { recursive: true })
  } catch (cause) {
    throw new LangevinError(`${folder}: ${inWords(cause)}. Set LANGEVIN_CACHE to a folder that can be written`, {
      cause,
    })
  }
  return folder
}

/**
 * Where `bin/` puts the programs that it brings for langevin itself, Node and ONNX Runtime: a folder as above, which is kept where
 * `LANGEVIN_CACHE=off` keeps nothing else, since nothing runs without them. `bin/cache.mjs` is the same for old Nodes.
 */
export const programFolder = (...parts: readonly string[]): string =>
  resolve((!isCacheOff() && process.env.LANGEVIN_CACHE) || join(systemCache(), 'langevin'), ...parts)

let own: string | undefined
function ownFolder(): string {
  if (own) return own
  const folder = mkdtempSync(join(tmpdir(), 'langevin-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  own = folder
  return folder
}

function systemCache(): string {
  if (process.env.XDG_CACHE_HOME) return process.env.XDG_CACHE_HOME
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  if (process.platform === 'win32') return process.env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local')
  return join(homedir(), '.cache')
}
