import { ArgumentError, LangevinError } from '../core/errors.ts'
import { backend, type DeviceName } from './backend.ts'

/** What a machine can run programs on. */
export interface Device {
  readonly name: DeviceName
  readonly available: boolean
  /** Why it is not available, and what would make it so. */
  readonly reason?: string
  readonly description: string
  readonly goodFor: string
}

/** No such device here; the message lists those that are. */
export class DeviceError extends LangevinError {}

/** Every device that the backend knows, available or not. In Node the GPU is tried in a process of its own: about a second. */
export const listDevices = async (): Promise<Device[]> =>
  Promise.all(Object.values((await backend()).devices).map((probe) => probe()))

/**
 * The device of that name, where it is available.
 * @throws ArgumentError for another name, DeviceError where it is not available
 */
export async function chooseDevice(name: string): Promise<DeviceName> {
  const { devices } = await backend()
  const probe = Object.hasOwn(devices, name) ? devices[name as DeviceName] : undefined
  if (!probe) throw new ArgumentError(`no device is called "${name}"; choose one of ${Object.keys(devices).join(', ')}`)
  const chosen = await probe()
  if (chosen.available) return chosen.name
  const there = (await listDevices()).filter(({ available }) => available)
  const list = there.map((device) => `${device.name} (${device.description})`).join(', ')
  throw new DeviceError(`${name} is not available: ${chosen.reason}; available: ${list}`)
}
