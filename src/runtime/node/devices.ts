import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inWords } from '../../core/system-error.ts'
import type { Device } from '../backend.ts'
import { enginePackage } from './engine-package.ts'

export async function cpu(): Promise<Device> {
  return {
    name: 'cpu',
    available: true,
    description: `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} cores`,
    goodFor: 'everything; training of small networks, sampling within seconds to minutes',
  }
}

interface Found {
  readonly right: boolean
  readonly gigaflops: number
  readonly f16: boolean
  readonly fusedAttention: boolean
}

const webgpuNeeds = () =>
  process.platform === 'linux'
    ? 'a GPU with a Vulkan driver is needed, and the libraries that it loads: for NVIDIA’s on Debian or Ubuntu, ' +
      '`apt install libvulkan1 libegl1 libgl1 libgles2 libopengl0 libxext6`'
    : 'a GPU with a Vulkan, Metal or Direct3D 12 driver is needed'

/** Tries WebGPU in a child process, with these environment variables, for at most `patience` milliseconds. */
export async function probeWebgpu(
  env: Readonly<Record<string, string | undefined>> = process.env,
  patience = 30_000,
): Promise<Device> {
  const { output, end } = await runProbe(env, patience)
  const line = output.split('\n').find((text) => text.startsWith('{"right"'))
  const found = line ? (JSON.parse(line) as Found) : undefined
  if (!found?.right) {
    const message = /Failed to get a WebGPU adapter[^\n]*/.exec(output) ?? /^\w*Error: [^\n]*/m.exec(output)
    const cause = found ? 'it computes wrong numbers' : (message?.[0] ?? end)
    return {
      name: 'webgpu',
      available: false,
      reason: `${cause}; ${webgpuNeeds()}`,
      description: 'the GPU through WebGPU',
      goodFor: 'sampling and training on a GPU of any make',
    }
  }
  // SwiftShader gives 0.1 to 0.3 on two cores.
  const software = found.gigaflops < 5
  const features = [found.f16 ? 'half precision' : 'no half precision']
  if (!found.fusedAttention) features.push('attention from plain operations')
  return {
    name: 'webgpu',
    available: true,
    description: `${software ? 'software rendering' : 'the GPU'} through WebGPU, ${features.join(', ')}`,
    goodFor: software ? 'tests only' : 'sampling and training',
  }
}

/** All that the probe printed, and how it ended. */
function runProbe(env: Readonly<Record<string, string | undefined>>, patience: number): Promise<{ output: string; end: string }> {
  const probe = fileURLToPath(new URL(`./webgpu-probe${extname(import.meta.url)}`, import.meta.url))
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [probe], { env, timeout: patience, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk: Buffer) => {
      output += chunk
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', (error) => resolve({ output, end: inWords(error) }))
    child.on('close', (code, signal) => resolve({ output, end: `trying it ended with ${signal ?? `exit code ${code}`}` }))
  })
}

export async function cuda(): Promise<Device> {
  const folder = enginePackage() ?? 'node_modules/onnxruntime-node'
  const library = process.platform === 'win32' ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so'
  const available = existsSync(join(folder, 'bin/napi-v6', process.platform, process.arch, library))
  return {
    name: 'cuda',
    available,
    ...(available
      ? {}
      : {
          reason:
            'ONNX Runtime’s CUDA libraries are not installed; on 64-bit Linux with CUDA 12, ' +
            `\`node ${join(folder, 'script/install.js')} --onnxruntime-node-install=cuda12\` fetches them`,
        }),
    description: 'an NVIDIA GPU through CUDA 12',
    goodFor: 'sampling; in training every step’s state passes through the host',
  }
}
