import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import { z } from 'zod'
import { defineCommand, printResult } from './command.ts'

const require = createRequire(import.meta.url)

/** The version of an installed package, without loading it. */
function versionOf(name: string): string {
  const folder = require.resolve.paths(name)?.find((path) => {
    try {
      readFileSync(`${path}/${name}/package.json`)
      return true
    } catch {
      return false
    }
  })
  return folder ? JSON.parse(readFileSync(`${folder}/${name}/package.json`, 'utf8')).version : 'not installed'
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

export const info = defineCommand({
  name: 'info',
  summary: 'what this machine offers',
  description: 'Prints the versions, the processor and the memory that langevin finds.',
  options: z.object({ json: z.boolean().default(false).meta({ description: 'print one line of JSON' }) }),
  examples: [
    ['langevin info', 'the table'],
    ['langevin info --json', 'the same for programs'],
  ],
  run: ({ json }, io) => printResult(io, json, environment(), table),
})
