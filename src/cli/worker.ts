import { z } from 'zod'
import { defineCommand, onInterrupt } from './command.ts'
import { settingsOf, working } from './serve/options.ts'
import { Board } from './serve/terminal.ts'

const options = z.object({
  ...working,
  processes: z.int().min(1).max(64).default(1).meta({ description: 'jobs at once, each in a process of its own' }),
  name: z
    .string()
    .optional()
    .meta({ description: 'what the queue calls it; the host’s name and the process’s number unless given' }),
})

export const worker = defineCommand({
  name: 'worker',
  summary: 'take jobs of a server’s queue, on this host or another',
  description:
    'Takes jobs from the queue of a langevin serve and runs them here: any number of workers, on any number of hosts that reach the queue and the store. Where the server keeps its queue itself, --data names its folder on the same host. It needs the models under the names that the server lists.',
  options,
  examples: [
    ['langevin worker --data ~/.local/share/langevin', 'a second worker beside a server on this host'],
    ['langevin worker --queue postgres://queue/langevin --store s3://pictures --models /models', 'on any host'],
  ],
  async run(given, io) {
    const [{ openWorker }, { chooseDevice }] = await Promise.all([import('../jobs/service.ts'), import('../runtime/devices.ts')])
    const signal = onInterrupt({ say: () => io.err.write(`stopping: what runs has ${given.drain} s\n`), terminate: true })
    if (given.device !== 'cpu') await chooseDevice(given.device)
    const board = new Board(io, () => 0)
    const { close } = await openWorker({
      ...(await settingsOf(given)),
      processes: given.processes,
      ...(given.name !== undefined && { name: given.name }),
      onJob: board.tell,
      onError: (error) => io.err.write(`${error.message}\n`),
    })
    io.err.write('takes jobs · Ctrl-C stops\n')
    await new Promise((stop) => (signal.aborted ? stop(undefined) : signal.addEventListener('abort', stop)))
    board.clear()
    await close(given.drain * 1000)
  },
})
