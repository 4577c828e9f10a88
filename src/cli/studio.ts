import { spawn } from 'node:child_process'
import { z } from 'zod'
import { defineCommand, type Io } from './command.ts'
import { UsageError } from './errors.ts'
import { serving } from './serve/options.ts'
import { runServer } from './serve/run.ts'

const options = z.object({
  ...serving,
  keep: z.number().positive().default(36_500).meta({ description: 'days that results are kept' }),
  open: z.boolean().default(true).meta({ description: 'open no browser' }),
})

export const studio = defineCommand({
  name: 'studio',
  summary: 'a server, and its pages in a browser: make, paint, look at and keep pictures',
  description:
    'Serves as langevin serve does, with the same flags, and opens its studio in a browser. What is made there is kept until you delete it. Where the address is taken by a server that runs already, that one’s studio is opened.',
  options,
  examples: [
    ['langevin studio', 'the bundled models'],
    ['langevin studio --models ~/models', 'a folder of models beside them'],
    ['langevin studio --port 0 --no-open', 'at any free port, its address printed'],
  ],
  async run({ open, ...given }, io) {
    const { studioFolder } = await import('../server/studio.ts')
    if (studioFolder() === undefined) throw new UsageError('the studio is not built yet; npm start -- studio builds and opens it')
    const show = (url: string) => present(`${url}/studio/`, open, io)
    try {
      await runServer(given, io, show)
    } catch (error) {
      const url = `http://${given.host}:${given.port}`
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      if (!(await hasStudio(url)))
        throw new UsageError(`port ${given.port} is taken by another program; choose one with --port`, { cause: error })
      io.err.write('a server runs there already\n')
      show(url)
    }
  },
})

async function hasStudio(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/studio/`, { signal: AbortSignal.timeout(5000) })).ok
  } catch {
    return false
  }
}

function present(url: string, open: boolean, io: Io): void {
  const program = open ? browserOpener() : undefined
  io.err.write(program ? `studio: ${url}\n` : `open in a browser: ${url}\n`)
  if (!program) return
  const [command, ...args] = program
  const child = spawn(command, [...args, url], { stdio: 'ignore', detached: true })
  child.on('error', () => io.err.write(`no browser was found; open ${url}\n`))
  child.unref()
}

/** The system's way to open an address; none on a machine without a screen. */
function browserOpener(): [string, ...string[]] | undefined {
  if (process.platform === 'darwin') return ['open']
  if (process.platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler']
  return process.env.DISPLAY || process.env.WAYLAND_DISPLAY ? ['xdg-open'] : undefined
}
