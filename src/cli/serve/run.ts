import { dirname, join } from 'node:path'
import type { z } from 'zod'
import { type Io, onInterrupt } from '../command.ts'
import { aliasesOf, type serving, settingsOf } from './options.ts'
import { Board } from './terminal.ts'

/** Serves until it is stopped. `ready` is told the address as soon as it answers. */
export async function runServer(
  given: z.infer<z.ZodObject<typeof serving>>,
  io: Io,
  ready: (url: string) => void = () => {},
): Promise<void> {
  const [{ startServer }, { usersOf }, { moderationIn }, { chooseDevice }] = await Promise.all([
    import('../../server/server.ts'),
    import('../../server/users.ts'),
    import('../../server/moderation.ts'),
    import('../../runtime/devices.ts'),
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
  ready(server.url)
  await new Promise((stop) => (signal.aborted ? stop(undefined) : signal.addEventListener('abort', stop)))
  board?.clear()
  await server.close(given.drain * 1000)
}

async function greet(url: string, data: string, io: Io) {
  const { studioFolder } = await import('../../server/studio.ts')
  const studio = studioFolder() === undefined ? '' : `studio: ${url}/studio/ · `
  io.err.write(
    `${studio}OpenAI’s clients: base URL ${url}/v1 · every route: ${url}/openapi.json · data: ${data} · Ctrl-C stops\n`,
  )
}

/** A file, or standard error. What comes with a request as a secret is not written. */
async function logOf(to: string) {
  const [{ pino }, { mkdirSync }] = await Promise.all([import('pino'), import('node:fs')])
  if (to !== '-') mkdirSync(dirname(to), { recursive: true })
  return pino({ level: process.env.LANGEVIN_LOG ?? 'info' }, pino.destination({ dest: to === '-' ? 2 : to, sync: true }))
}
