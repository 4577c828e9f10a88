import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { LangevinError } from '../core/errors.ts'
import { defineCommand, printResult } from './command.ts'

const require = createRequire(import.meta.url)

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new LangevinError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`, { cause: error })
  }
}

/** The version of an installed package, without loading it. */
function versionOf(name: string): string {
  const files = require.resolve.paths(name)?.map((folder) => join(folder, name, 'package.json')) ?? []
  const file = files.find((file) => existsSync(file))
  return file ? JSON.parse(readFileSync(file, 'utf8')).version : 'not installed'
}

function environment() {
  return {
    langevin: JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version as string,
    node: process.version,
    platform: `${platform()} ${arch()}, ${release()}`,
    cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() },
    /** Bytes. */
    memory: { total: totalmem(), free: freemem() },
    packages: { 'onnxruntime-node': versionOf('onnxruntime-node'), sharp: versionOf('sharp') },
  }
}

const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`

function table({ langevin, node, platform, cpu, memory, packages }: ReturnType<typeof environment>): string {
  const rows = [
    ['langevin', langevin],
    ['Node', node],
    ['platform', platform],
    ['processor', `${cpu.model}, ${cpu.cores} cores`],
    ['memory', `${gigabytes(memory.total)}, ${gigabytes(memory.free)} free`],
    ...Object.entries(packages),
  ]
  const width = Math.max(...rows.map(([name]) => name!.length))
  return rows.map(([name, value]) => `${name!.padEnd(width)}  ${value}`).join('\n')
}

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
    'Prints the versions, the processor and the memory that langevin finds. With a PNG, prints the text in it instead: pictures made by langevin and most other programs carry their settings.',
  positional: ['file'],
  options: z.object({
    file: z.string().optional().meta({ description: 'a PNG' }),
    json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
  }),
  examples: [
    ['langevin info', 'the machine'],
    ['langevin info --json', 'the same for programs'],
    ['langevin info picture.png', 'the settings in a picture'],
  ],
  async run({ file, json }, io) {
    if (file === undefined) return printResult(io, json, environment(), table)
    const { readPngText } = await import('../images/pngtext.ts')
    printResult(io, json, Object.fromEntries(readPngText(readBytes(file), file)), pictureText)
  },
})
