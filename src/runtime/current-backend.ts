import { ArgumentError } from '../core/errors.ts'
import type { Backend } from './backend.ts'

let chosen: Promise<Backend> | undefined

/** The backend of the place that this runs in, loaded at first use: the default, and what another may wrap. In a browser, the web's. */
export const nodeBackend = async (): Promise<Backend> => (await import('./node/backend.ts')).platformBackend

/** The backend of this thread: the one given to `useBackend`, else Node's. */
export const backend = (): Promise<Backend> => (chosen ??= nodeBackend())

/**
 * Chooses the backend for this thread, before anything is compiled.
 * @throws ArgumentError when another one is in use
 */
export function useBackend(backend: Backend): void {
  if (chosen) throw new ArgumentError('a backend is in use already; call useBackend before anything is compiled')
  chosen = Promise.resolve(backend)
}
