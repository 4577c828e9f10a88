// Plain JavaScript for old Nodes (20): where programs lie that are brought for langevin itself.
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/**
 * A folder for Node or ONNX Runtime: within `LANGEVIN_CACHE`, else within `langevin` in the system's place for caches. These are kept
 * where `LANGEVIN_CACHE=off` keeps nothing else, since nothing runs without them.
 */
export function programFolder(...parts) {
  const { LANGEVIN_CACHE: own } = process.env
  return resolve(own && own !== 'off' ? own : join(systemCache(), 'langevin'), ...parts)
}

function systemCache() {
  const { XDG_CACHE_HOME: chosen, LOCALAPPDATA: local } = process.env
  if (chosen) return chosen
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  if (process.platform === 'win32') return local ?? join(homedir(), 'AppData', 'Local')
  return join(homedir(), '.cache')
}
