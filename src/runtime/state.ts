import type { Tensor as OrtTensor } from 'onnxruntime-common'
import { ArgumentError } from '../core/errors.ts'
import type { Spec } from '../core/graph.ts'
import { lower } from '../core/onnx/lower.ts'
import { input, type Tensor } from '../core/tensor.ts'
import type { DeviceName, Session } from './backend.ts'
import { createSession, feedable, fromOrt, toOrt } from './engine.ts'
import type { NdArray } from './ndarray.ts'

interface Entry extends Spec {
  value: OrtTensor
  /** The session that made a value on the GPU. */
  maker: Session | undefined
}

/** Named values that programs read and update, such as parameters in training. On WebGPU they stay on the GPU. */
export class State {
  private readonly entries: Map<string, Entry>
  /** Sessions to be freed when nothing that they made is left here. */
  private readonly leaving = new Set<Session>()

  private constructor(entries: Map<string, Entry>) {
    this.entries = entries
  }

  static async from(values: Iterable<readonly [string, NdArray]>): Promise<State> {
    const entries = new Map<string, Entry>()
    for (const [name, array] of values) {
      const { shape, dtype } = array
      entries.set(name, { shape, dtype, value: await toOrt(array), maker: undefined })
    }
    return new State(entries)
  }

  get names(): string[] {
    return [...this.entries.keys()]
  }

  has(name: string): boolean {
    return this.entries.has(name)
  }

  /** Shape and dtype. */
  specOf(name: string): Spec | undefined {
    return this.entries.get(name)
  }

  get(name: string): OrtTensor {
    const entry = this.entries.get(name)
    if (!entry) throw new ArgumentError(`the state has no "${name}"`)
    return entry.value
  }

  /** Takes over a session's output. The value before it is freed where it lies on the GPU. */
  replace(name: string, value: OrtTensor, maker: Session): void {
    const entry = this.entries.get(name)
    if (!entry) throw new ArgumentError(`the state has no "${name}"`)
    const before = entry.maker
    if (before) entry.value.dispose()
    entry.value = feedable(value)
    entry.maker = value.location === 'gpu-buffer' ? maker : undefined
    if (before && this.leaving.has(before) && !this.holds(before)) {
      this.leaving.delete(before)
      void before.release()
    }
  }

  /**
   * Frees a session: at once, or when the last value that it made has been replaced, since the engine frees a session's
   * buffers on the GPU with it and aborts the process when they are used then.
   */
  async free(session: Session): Promise<void> {
    if (this.holds(session)) this.leaving.add(session)
    else await session.release()
  }

  /** Frees what lies on the GPU, and the sessions that had to stay for it. Nothing is left in the state. */
  async release(): Promise<void> {
    for (const { value, maker } of this.entries.values()) if (maker) value.dispose()
    this.entries.clear()
    const sessions = [...this.leaving]
    this.leaving.clear()
    for (const session of sessions) await session.release()
  }

  private holds(session: Session): boolean {
    return [...this.entries.values()].some(({ maker }) => maker === session)
  }

  /** Values copied to the host. */
  async read(names: readonly string[] = this.names): Promise<Map<string, NdArray>> {
    const out = new Map<string, NdArray>()
    for (const name of names) {
      const value = this.get(name)
      out.set(name, value.location === 'gpu-buffer' ? await this.fetch(name) : fromOrt(value))
    }
    return out
  }

  /** A tensor on the GPU comes back as the CPU output of a program that passes it through; reading it directly aborts. */
  private async fetch(name: string): Promise<NdArray> {
    const { shape, dtype, value } = this.entries.get(name) as Entry
    const session = await passThrough(input('x', shape, dtype), 'webgpu')
    const { y } = await session.run({ x: value })
    return fromOrt(y as OrtTensor)
  }
}

/** Sessions that pass a value through, the last used kept: one for each type and shape would fill the GPU. */
const MOST_SESSIONS = 16
const sessions = new Map<string, Promise<Session>>()

function passThrough(x: Tensor, device: DeviceName): Promise<Session> {
  const key = `${x.dtype} ${x.shape.join(' ')}`
  const session = sessions.get(key) ?? makePassThrough(x, device)
  sessions.delete(key)
  sessions.set(key, session)
  const [oldest] = sessions
  if (oldest && sessions.size > MOST_SESSIONS) {
    sessions.delete(oldest[0])
    // What it gave lies on the host.
    void oldest[1].then((session) => session.release()).catch(() => undefined)
  }
  return session
}

function makePassThrough(x: Tensor, device: DeviceName): Promise<Session> {
  const { model } = lower({ outputs: { y: x.dtype === 'f32' ? x.mul(1) : x } }, { target: 'webgpu' })
  return createSession(model, { device })
}
