import { join } from 'node:path'
import { z } from 'zod'
import { defineCommand, type Io, onInterrupt } from './command.ts'
import { aliasesOf, serving, settingsOf } from './serve/options.ts'
import { Board } from './serve/terminal.ts'

const options = z.object(serving)

export const serve = defineCommand({
  name: 'serve',
  summary: 'models behind HTTP: OpenAI’s and others’ interfaces, a queue that survives',
  description:
    'Answers OpenAI’s clients for pictures (/v1/images), those of AUTOMATIC1111’s web UI (/sdapi/v1) and of Hugging Face, and its own /v1/jobs with progress. What is accepted is kept in a database within --data until it is done: also over a crash. Models run in processes of their own. /openapi.json lists every route.',
  options,
  examples: [
    ['langevin serve', 'the bundled models, on this machine alone'],
    ['langevin serve --models ~/models --key "$(openssl rand -hex 16)" --host 0.0.0.0', 'a folder of models, for the network'],
    [
      'langevin serve --workers 0 --queue postgres://queue/langevin --store s3://pictures',
      'work is left to langevin worker elsewhere',
    ],
  ],
  async run(given, io) {
    const [{ startServer }, { usersOf }, { moderationIn }, { chooseDevice }] = await Promise.all([
      import('../server/server.ts'),
      import('../server/users.ts'),
      import('../server/moderation.ts'),
      import('../runtime/devices.ts'),
    ])
    const signal = onInterrupt({ say: () => io.err.write(`stopping: what runs has ${given.drain} s\n`), terminate: true })
    if (given.device !== 'cpu') await chooseDevice(given.device)
    const users = usersOf({ key: given.key ?? process.env.LANGEVIN_KEY, file: given.keys })
    const settings = await settingsOf(given)
    const terminal = (process.stderr as { isTTY?: boolean }).isTTY === true && given.log !== '-'
    const log = await logOf(given.log ?? (terminal ? join(settings.data, 'server.log') : '-'))
    let waiting = () => 0
    const board = terminal ? new Board(io, () => waiting()) : undefined
    const server = await startServer({
      ...settings,
      ...{
        host: given.host,
        port: given.port,
        users,
        log,
        limit: given.limit,
        keepBytes: given.keepSize === undefined ? undefined : given.keepSize * 1e9,
        processes: given.workers,
        model: given.model,
      },
      ...{ hosts: given.allowHost, origins: given.allowOrigin, aliases: aliasesOf(given.alias) },
      ...(given.moderation !== undefined && { moderate: await moderationIn(given.moderation) }),
      ...(board && { onJob: board.tell }),
    })
    waiting = () => server.service.queue.waiting
    io.out.write(`${server.url}\n`)
    if (terminal) await greet(server.url, settings.data, io)
    await new Promise((stop) => (signal.aborted ? stop(undefined) : signal.addEventListener('abort', stop)))
    board?.clear()
    await server.close(given.drain * 1000)
  },
})

async function greet(url: string, data: string, io: Io) {
  io.err.write(`OpenAI’s clients: base URL ${url}/v1 · every route: ${url}/openapi.json · data: ${data} · Ctrl-C stops\n`)
}

/** A file, or standard error. What comes with a request as a secret is not written. */
async function logOf(to: string) {
  const [{ pino }, { mkdirSync }, { dirname }] = await Promise.all([import('pino'), import('node:fs'), import('node:path')])
  if (to !== '-') mkdirSync(dirname(to), { recursive: true })
  return pino({ level: process.env.LANGEVIN_LOG ?? 'info' }, pino.destination({ dest: to === '-' ? 2 : to, sync: true }))
}
