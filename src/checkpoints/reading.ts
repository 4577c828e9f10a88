import { inWords } from '../core/system-error.ts'
import { openSync, readSync, realpathSync, statSync } from '../runtime/system.ts'
import { SafetensorsError } from './errors.ts'

/** Opens a file for reading, and says where it really lies. Pipes and devices are refused: they may never end. */
export function openFile(path: string): { fd: number; file: string } {
  try {
    if (!statSync(path).isFile()) throw new SafetensorsError(path, 'not a file')
    const file = realpathSync(path)
    return { fd: openSync(file, 'r'), file }
  } catch (cause) {
    if (cause instanceof SafetensorsError) throw cause
    throw new SafetensorsError(path, `cannot be opened: ${inWords(cause)}`, { cause })
  }
}

/** Fills `bytes` from a place in a file. */
export function readAt<B extends Uint8Array>(fd: number, position: number, bytes: B, file: string): B {
  for (let done = 0; done < bytes.length; ) {
    let got: number
    try {
      got = readSync(fd, bytes, done, Math.min(bytes.length - done, 2 ** 30), position + done)
    } catch (cause) {
      throw new SafetensorsError(file, `cannot be read: ${inWords(cause)}`, { cause })
    }
    if (got === 0)
      throw new SafetensorsError(file, `ends at byte ${position + done}, ${bytes.length - done} too early: it has changed`)
    done += got
  }
  return bytes
}
