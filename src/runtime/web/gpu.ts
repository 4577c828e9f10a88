import type { Env } from 'onnxruntime-common'
import type { Device } from '../backend.ts'

/* What is used of WebGPU, whose types TypeScript does not have. */
interface GpuAdapter {
  readonly info?: { readonly vendor?: string; readonly architecture?: string; readonly description?: string }
  readonly features: ReadonlySet<string>
}
interface GpuDevice {
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>
}

let gone: string | undefined
let watched: unknown

/** Notes when the GPU is lost: all that lay there is, and each call fails from then on. */
export function watchGpu({ webgpu }: Env): void {
  const device = webgpu.device as unknown as Promise<GpuDevice> | GpuDevice
  if (watched === device) return
  watched = device
  void Promise.resolve(device)
    .then(({ lost }) => lost)
    .then(({ message }) => {
      gone =
        `the GPU was lost${message ? ` (${message.trim()})` : ''}, with all that lay there: ` +
        'end this worker, start another and open the model again, on WebGPU or on the processor (`device: "cpu"`)'
    })
    .catch(() => undefined)
}

/** Why nothing runs on the GPU any more, if it was lost. */
export const whyGpuIsGone = (): string | undefined => gone

/** Asks for an adapter. */
export async function probeGpu(): Promise<Device> {
  const none = (reason: string): Device => ({
    name: 'webgpu',
    available: false,
    reason,
    description: 'the GPU through WebGPU',
    goodFor: 'sampling and training on a GPU of any make',
  })
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<GpuAdapter | null> } }
  if (!gpu) return none('this browser has no WebGPU, or the page is not served by https (or from localhost)')
  const adapter = await gpu.requestAdapter().catch(() => null)
  if (!adapter) return none('the browser has WebGPU, and gives no GPU: its driver may be too old, or shut out')
  const { vendor = '', architecture = '', description = '' } = adapter.info ?? {}
  const name = [vendor, architecture, description].filter(Boolean).join(' ') || 'a GPU'
  const half = adapter.features.has('shader-f16') ? 'half precision' : 'no half precision'
  const software = /swiftshader|llvmpipe|software/i.test(name)
  return {
    name: 'webgpu',
    available: true,
    description: `${name} through WebGPU, ${half}`,
    goodFor: software ? 'tests only' : 'sampling and training',
  }
}
