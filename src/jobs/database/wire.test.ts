import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { type Engine, WireServer } from './wire.ts'

const text = (body: string) => Buffer.from(`${body}\0`)
function message(type: string, body: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** An engine that answers each message a turn of the event loop later, and notes what it was given. */
class Recorder implements Engine {
  readonly seen: string[] = []
  #open = false

  async execProtocolRaw(given: Uint8Array): Promise<Uint8Array> {
    const answers: Uint8Array[] = []
    for (let at = 0; at < given.length; ) {
      const end = at + 1 + Buffer.from(given).readUInt32BE(at + 1)
      answers.push(await this.#run(given.subarray(at, end)))
      at = end
    }
    return Buffer.concat(answers)
  }

  async #run(given: Uint8Array): Promise<Uint8Array> {
    await new Promise((later) => setTimeout(later, 1))
    const type = String.fromCharCode(given[0] as number)
    const query = type === 'Q' || type === 'P' ? Buffer.from(given.subarray(5)).toString().replaceAll('\0', '').trim() : ''
    this.seen.push(`${type}${query}`)
    if (query === 'BROKEN') throw new Error('out of order')
    if (query === 'BEGIN') this.#open = true
    if (query === 'COMMIT' || query === 'ROLLBACK') this.#open = false
    const notified = query === 'NOTIFY' ? [message('A', Buffer.concat([Buffer.alloc(4), text('channel'), text('news')]))] : []
    const ready = message('Z', Buffer.from(this.#open ? 'T' : 'I'))
    if (type === 'Q') return Buffer.concat([...notified, message('C', text('OK')), ready])
    if (type === 'S') return ready
    return message({ P: '1', B: '2', D: 'n', E: 'C', H: '' }[type] ?? 'C', type === 'E' ? text('OK') : Buffer.alloc(0))
  }

  isInTransaction = (): boolean => this.#open
}

const engine = new Recorder()
const server = new WireServer(engine, 'secret')
const port = await server.listen(0)
const clients: pg.Client[] = []
async function client(password = 'secret'): Promise<pg.Client> {
  const made = new pg.Client({ host: '127.0.0.1', port, user: 'x', database: 'x', password })
  made.on('error', () => {})
  await made.connect()
  clients.push(made)
  return made
}
afterAll(async () => {
  await Promise.all(clients.map((one) => one.end()))
  await server.close()
})

test('what belongs to one query is run without another connection between', async () => {
  const all = await Promise.all(Array.from({ length: 4 }, () => client()))
  engine.seen.length = 0
  await Promise.all(all.map((one, i) => one.query(`SELECT ${i}`, [1])))
  const groups = engine.seen
    .join('')
    .split('S')
    .map((group) => group.replace(/ELECT \d/, ''))
  expect(engine.seen.filter((one) => one.startsWith('P'))).toHaveLength(4)
  // Each query is its parse, bind, describe, execute and sync in a row.
  expect(engine.seen.join(' ')).toMatch(/^(P\S+ \d\S* B D E S ?){4}$/)
  expect(groups.length).toBeGreaterThan(4)
})

test('an open transaction keeps the others waiting, and is rolled back with its connection', async () => {
  const [one, two] = [await client(), await client()]
  await one.query('BEGIN')
  engine.seen.length = 0
  const waiting = two.query('OTHER')
  await one.query('OWN')
  ;(one as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  await waiting
  expect(engine.seen).toEqual(['QOWN', 'QROLLBACK', 'QOTHER'])
})

test('a notification goes to every connection', async () => {
  const [one, two] = [await client(), await client()]
  const heard = new Promise((news) => two.on('notification', ({ channel, payload }) => news([channel, payload])))
  await one.query('NOTIFY')
  expect(await heard).toEqual(['channel', 'news'])
})

test('a wrong password is refused, and what breaks the engine ends its connection alone', async () => {
  await expect(client('wrong')).rejects.toMatchObject({ code: '28P01' })
  const [one, two] = [await client(), await client()]
  await expect(one.query('BROKEN')).rejects.toThrow(/out of order/)
  expect((await two.query('FINE')).command).toBe('OK')
})
