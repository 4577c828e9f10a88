import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { ArgumentError } from '../../core/errors.ts'
import { chooseDevice, DeviceError, listDevices } from '../devices.ts'
import { probeWebgpu } from './devices.ts'

test('every device is listed; what is missing says why', { timeout: 120_000 }, async () => {
  const devices = await listDevices()
  expect(devices.map(({ name }) => name)).toEqual(['cpu', 'webgpu', 'cuda'])
  expect(devices[0]).toMatchObject({ available: true, description: expect.stringContaining(`${availableParallelism()} cores`) })
  for (const { available, reason, description, goodFor } of devices) {
    expect(reason === undefined).toBe(available)
    for (const text of [description, goodFor, reason ?? 'none']) expect(text).not.toBe('')
  }
})

test('a GPU that cannot be reached, and one that does not answer in time', { timeout: 120_000 }, async () => {
  // No driver is found where the loader of Vulkan looks for none; other systems have their GPU without it.
  const hidden = await probeWebgpu({ ...process.env, VK_ICD_FILENAMES: '/nowhere.json', VK_DRIVER_FILES: '/nowhere.json' })
  if (process.platform === 'linux') expect(hidden.reason).toMatch(/^Failed to get a WebGPU adapter.*; a GPU with a Vulkan/)
  const hasty = await probeWebgpu(process.env, 1)
  expect(hasty).toMatchObject({ available: false, reason: expect.stringContaining('SIGTERM') })
})

test('a device is chosen by its name; the others are told', { timeout: 120_000 }, async () => {
  expect(await chooseDevice('cpu')).toBe('cpu')
  await expect(chooseDevice('tpu')).rejects.toThrow(
    new ArgumentError('no device is called "tpu"; choose one of cpu, webgpu, cuda'),
  )
  const missing = (await listDevices()).filter(({ available }) => !available)
  for (const { name, reason } of missing) {
    const choice = chooseDevice(name)
    await expect(choice).rejects.toThrow(DeviceError)
    await expect(choice).rejects.toThrow(`${name} is not available: ${reason}; available: cpu (`)
  }
})
