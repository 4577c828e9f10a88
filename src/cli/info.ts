import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { LangevinError } from '../core/errors.ts'
import { inWords as reasonOf } from '../core/system-error.ts'
import type { Device } from '../runtime/devices.ts'
import { type Environment, environment } from '../runtime/node/environment.ts'
import { defineCommand, printResult } from './command.ts'

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new LangevinError(`${file}: cannot be read: ${reasonOf(error)}`, { cause: error })
  }
}

const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`

interface Machine extends Environment {
  readonly devices: readonly Device[]
}

function table({ langevin, node, platform, cpu, memory, packages, devices }: Machine): string {
  const rows = [
    ['langevin', langevin],
    ['Node', node],
    ['platform', platform],
    ['processor', `${cpu.model}, ${cpu.cores} cores`],
    ['memory', `${gigabytes(memory.total)}, ${gigabytes(memory.free)} free`],
    ...Object.entries(packages),
    ...devices.map((device) => [`--device ${device.name}`, inWords(device)]),
  ]
  const width = Math.max(...rows.map(([name]) => name!.length))
  return rows.map(([name, value]) => `${name!.padEnd(width)}  ${value}`).join('\n')
}

const inWords = ({ available, description, goodFor, reason }: Device) =>
  available ? `${description}; good for ${goodFor}` : `not available here (${description}): ${reason}`

/** Text of unknown origin, without what would move the cursor or change colours. */
const printable = (text: string) => text.replaceAll(/[^\P{Cc}\n\t]/gu, '�')

const pictureText = (found: Record<string, string>) =>
  Object.entries(found)
    .map(([keyword, text]) => `${keyword}: ${printable(text)}`)
    .join('\n') || 'no text in this picture'

export const info = defineCommand({
  name: 'info',
  summary: 'what this machine offers, or how a picture was made',
  description:
    'Prints the versions, the processor, the memory and the devices that langevin finds, what each device is good for, and why one cannot be used. A GPU is tried for a second, in a process of its own. With a PNG, JPEG, WebP, MP4 or WebM, prints the text in it instead: pictures made by langevin and most other programs carry their settings.',
  positional: ['file'],
  options: z.object({
    file: z.string().optional().meta({ description: 'a PNG, JPEG or WebP; an MP4 or WebM' }),
    json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
  }),
  examples: [
    ['langevin info', 'the machine'],
    ['langevin info --json', 'the same for programs'],
    ['langevin info picture.png', 'the settings in a picture'],
  ],
  async run({ file, json }, io) {
    if (file === undefined) {
      const { listDevices } = await import('../runtime/devices.ts')
      const devices = await listDevices() // First: it brings the engine if it is not installed.
      return printResult(io, json, { ...environment(), devices }, table)
    }
    const { readPictureText } = await import('../images/settings.ts')
    const bytes = readBytes(file)
    const texts = /\.(mp4|webm)$/i.test(file)
      ? await (await import('../video/index.ts')).readFilmText(bytes, file)
      : readPictureText(bytes, file)
    printResult(io, json, Object.fromEntries(texts), pictureText)
  },
})
