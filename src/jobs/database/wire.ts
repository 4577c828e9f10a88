import { timingSafeEqual } from 'node:crypto'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** What runs messages of PostgreSQL's protocol: PGlite. */
export interface Engine {
  /** Runs frontend messages, one after another, and gives the bytes of the answer. */
  execProtocolRaw(message: Uint8Array): Promise<Uint8Array>
  isInTransaction(): boolean
}

/** Messages of one connection that belong together, up to the one that asks for the answer. */
interface Batch {
  readonly from: Connection
  readonly messages: Uint8Array
}

const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
/** Longest message that is read; longer ones end the connection. */
const LONGEST = 64 * 2 ** 20

/**
 * PGlite, which is one session, for many connections of PostgreSQL's protocol version 3.
 *
 * What belongs together (parse, bind, execute, sync) runs without another connection's messages between, an open transaction keeps the
 * others waiting, and a notification goes to everyone but the one that sent it: each client's LISTEN is the session's. Connections
 * give a password.
 */
export class WireServer {
  readonly #engine: Engine
  readonly #password: Buffer
  readonly #connections = new Set<Connection>()
  readonly #waiting: Batch[] = []
  #running = false
  /** Whose transaction is open. */
  #owner: Connection | undefined
  #server: Server | undefined

  constructor(engine: Engine, password: string) {
    this.#engine = engine
    this.#password = Buffer.from(password)
  }

  /** @returns the port */
  listen(port: number, host = '127.0.0.1'): Promise<number> {
    const server = createServer((socket) => {
      const connection = new Connection(socket, {
        isPassword: (given) => given.length === this.#password.length && timingSafeEqual(given, this.#password),
        run: (messages) => this.#enqueue({ from: connection, messages }),
        closed: () => this.#closed(connection),
      })
      this.#connections.add(connection)
    })
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => resolve((server.address() as AddressInfo).port))
    })
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.end()
    await new Promise((closed) => this.#server?.close(closed) ?? closed(undefined))
  }

  #enqueue(batch: Batch): void {
    this.#waiting.push(batch)
    void this.#work()
  }

  async #work(): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      for (let batch = this.#next(); batch; batch = this.#next()) await this.#run(batch)
    } finally {
      this.#running = false
    }
  }

  #next(): Batch | undefined {
    const at = this.#owner ? this.#waiting.findIndex(({ from }) => from === this.#owner) : 0
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0]
  }

  async #run({ from, messages }: Batch): Promise<void> {
    let answer: Uint8Array
    try {
      answer = await this.#engine.execProtocolRaw(messages)
    } catch (error) {
      // The engine's own failure, not a query's: the client learns of it by its connection.
      from.end(error as Error)
      this.#owner = undefined
      return
    }
    this.#owner = this.#engine.isInTransaction() ? from : undefined
    const { own, notifications } = parted(Buffer.from(answer.buffer, answer.byteOffset, answer.length))
    from.answer(own)
    if (notifications.length > 0) for (const one of this.#connections) one.notify(notifications)
  }

  #closed(connection: Connection): void {
    this.#connections.delete(connection)
    for (let i = this.#waiting.length - 1; i >= 0; i--) if (this.#waiting[i]?.from === connection) this.#waiting.splice(i, 1)
    if (this.#owner !== connection) return
    // A transaction whose connection is gone is rolled back, then the others go on.
    this.#waiting.unshift({ from: connection, messages: simpleQuery('ROLLBACK') })
    void this.#work()
  }
}

interface Handlers {
  isPassword(given: Buffer): boolean
  run(messages: Uint8Array): void
  closed(): void
}

/** One client: its start, then its messages in batches. */
class Connection {
  readonly #socket: Socket
  readonly #handlers: Handlers
  #state: 'startup' | 'password' | 'ready' = 'startup'
  #buffer: Buffer = Buffer.alloc(0)
  #batch: Uint8Array[] = []

  constructor(socket: Socket, handlers: Handlers) {
    this.#socket = socket
    this.#handlers = handlers
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk])
      this.#read()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => handlers.closed())
  }

  answer(bytes: Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes)
  }

  notify(bytes: Buffer): void {
    if (this.#state === 'ready') this.answer(bytes)
  }

  end(error?: Error): void {
    if (error) this.answer(errorMessage('XX000', `the embedded database failed: ${error.message}`))
    this.#socket.end()
    this.#socket.destroySoon()
  }

  #read(): void {
    while (this.#buffer.length > 0) {
      const typed = this.#state === 'startup' ? 0 : 1
      if (this.#buffer.length < typed + 4) return
      const length = this.#buffer.readUInt32BE(typed) + typed
      if (length < typed + 4 || length > LONGEST) {
        this.end()
        return
      }
      if (this.#buffer.length < length) return
      const message = this.#buffer.subarray(0, length)
      this.#buffer = this.#buffer.subarray(length)
      if (this.#state === 'startup') this.#start(message)
      else if (this.#state === 'password') this.#login(message)
      else this.#take(message)
    }
  }

  #start(message: Buffer): void {
    const code = message.length >= 8 ? message.readUInt32BE(4) : 0
    if (code === SSL_REQUEST || code === GSS_REQUEST) this.answer(Buffer.from('N'))
    else if (code === CANCEL_REQUEST || code >>> 16 !== 3) this.end()
    else {
      this.#state = 'password'
      this.answer(typedMessage('R', int32(3)))
    }
  }

  #login(message: Buffer): void {
    const given = message[0] === char('p') ? message.subarray(5, message.length - 1) : Buffer.alloc(0)
    if (!this.#handlers.isPassword(given)) {
      this.answer(errorMessage('28P01', 'wrong password for the embedded database'))
      this.end()
      return
    }
    this.#state = 'ready'
    const settings = Object.entries({ server_version: '17.5', client_encoding: 'UTF8', DateStyle: 'ISO, MDY', TimeZone: 'UTC' })
    const told = settings.map(([name, value]) => typedMessage('S', Buffer.from(`${name}\0${value}\0`)))
    this.answer(
      Buffer.concat([typedMessage('R', int32(0)), ...told, typedMessage('K', int32(0, 0)), typedMessage('Z', Buffer.from('I'))]),
    )
  }

  #take(message: Buffer): void {
    const type = String.fromCharCode(message[0] as number)
    if (type === 'X') {
      this.end()
      return
    }
    this.#batch.push(new Uint8Array(message))
    if (type !== 'S' && type !== 'Q') return
    const messages = this.#batch
    this.#batch = []
    // A copy: PGlite takes arrays of their own.
    this.#handlers.run(new Uint8Array(Buffer.concat(messages)))
  }
}

const char = (text: string) => text.charCodeAt(0)

function int32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) bytes.writeInt32BE(value, 4 * i)
  return bytes
}

const typedMessage = (type: string, body: Buffer) => Buffer.concat([Buffer.from(type), int32(body.length + 4), body])

const simpleQuery = (text: string): Uint8Array => new Uint8Array(typedMessage('Q', Buffer.from(`${text}\0`)))

const errorMessage = (code: string, text: string) => typedMessage('E', Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${text}\0\0`))

/** An answer without its NotificationResponses, and these. */
function parted(answer: Buffer): { own: Buffer; notifications: Buffer } {
  const own: Buffer[] = []
  const notifications: Buffer[] = []
  for (let at = 0; at + 5 <= answer.length; ) {
    const end = at + 1 + answer.readUInt32BE(at + 1)
    ;(answer[at] === char('A') ? notifications : own).push(answer.subarray(at, end))
    at = end
  }
  return { own: Buffer.concat(own), notifications: Buffer.concat(notifications) }
}
