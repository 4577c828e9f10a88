import { ArgumentError, LangevinError } from '../core/errors.ts'
import type { Device, DeviceName } from './backend.ts'
import { backend } from './current-backend.ts'
import { channelBlock } from './layout-detection.ts'

export type { Device } from './backend.ts'

/** No such device here; the message lists those that are. */
export class DeviceError extends LangevinError {}

/** Every device that the backend knows, available or not. In Node the GPU is tried in a process of its own: about a second. */
export const listDevices = async (): Promise<Device[]> =>
  Promise.all(Object.values((await backend()).devices).map(async (probe) => withLayout(await probe())))

/** A processor, and how its kernels lay out channels. */
async function withLayout(device: Device): Promise<Device> {
  if (device.name !== 'cpu') return device
  const block = await channelBlock()
  const layout = block > 0 ? `convolutions in blocks of ${block} channels` : 'convolutions without blocks of channels'
  return { ...device, description: `${device.description}, ${layout}` }
}

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
