import { isMainThread } from 'node:worker_threads'

const SWITCH = 'ORT_DISABLE_TELEMETRY'
let warned = false

// As soon as this is imported, for threads that are started later.
if (isMainThread) process.env[SWITCH] = '1'

/**
 * ONNX Runtime 1.30 writes a device's number and a database of events into the user's cache folder and holds a collector's
 * address, unless this variable is set when it is loaded. A thread's environment is a copy that native code does not see: a
 * thread inherits what the main thread set, and one that was started before can only warn.
 */
export function withoutTelemetry(): void {
  if (process.env[SWITCH] === '1') return
  process.env[SWITCH] = '1'
  if (isMainThread || warned) return
  warned = true
  process.emitWarning(
    `ONNX Runtime is loaded in a thread that cannot switch its telemetry off: import langevin/runtime in the main thread first, ` +
      `or start Node with ${SWITCH}=1`,
    'LangevinWarning',
  )
}
