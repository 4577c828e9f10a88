import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { LangevinError } from '../core/errors.ts'

/**
 * The folder for what can be made or fetched again, created where it is missing: `LANGEVIN_CACHE`, else `langevin` in the
 * system's place for caches (`XDG_CACHE_HOME` or ~/.cache, ~/Library/Caches, %LOCALAPPDATA%).
 *
 * @param parts a folder within it
 * @throws LangevinError when it cannot be created
 */
export function cacheFolder(...parts: readonly string[]): string {
  const folder = join(process.env.LANGEVIN_CACHE || join(systemCache(), 'langevin'), ...parts)
  try {
    mkdirSync(folder, { recursive: true })
  } catch (cause) {
    throw new LangevinError(`${folder}: ${(cause as Error).message}. Set LANGEVIN_CACHE to a folder that can be written`, {
      cause,
    })
  }
  return folder
}

function systemCache(): string {
  if (process.env.XDG_CACHE_HOME) return process.env.XDG_CACHE_HOME
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  if (process.platform === 'win32') return process.env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local')
  return join(homedir(), '.cache')
}
