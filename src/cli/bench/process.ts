import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { LangevinError } from '../../core/errors.ts'

/** A side of a benchmark could not start or broke off. */
export class BenchError extends LangevinError {}

/** What a side says in a line: that it is ready, or the figures of one run. */
export type Line = Readonly<Record<string, unknown>>

/** A process that does one measured run for each line it is sent. */
export class Side {
  readonly name: string
  private readonly child: ChildProcess
  private readonly lines: AsyncIterator<string>
  private trouble = ''

  private constructor(name: string, command: string, args: readonly string[]) {
    this.name = name
    this.child = spawn(command, args, { stdio: 'pipe' })
    this.child.on('error', ({ message }) => {
      this.trouble = message
    })
    this.child.stderr?.on('data', (text) => {
      this.trouble = `${this.trouble}${text}`.slice(-2000)
    })
    this.child.stdin?.on('error', () => {}) // A side that has died is noticed by its missing answer.
    this.lines = createInterface(this.child.stdout as NodeJS.ReadableStream)[Symbol.asyncIterator]()
  }

  /** Starts a process and waits until it is ready. @throws BenchError with the last thing it said. */
  static async start(name: string, command: string, args: readonly string[]): Promise<{ side: Side; ready: Line }> {
    const side = new Side(name, command, args)
    return { side, ready: await side.next() }
  }

  run(): Promise<Line> {
    this.child.stdin?.write('\n')
    return this.next()
  }

  stop(): void {
    this.child.stdin?.end()
    this.child.kill()
  }

  private async next(): Promise<Line> {
    const { value, done } = await this.lines.next()
    if (!done) return JSON.parse(value)
    const last = this.trouble.trim().split('\n').at(-1)
    throw new BenchError(`${this.name}: ${last || 'it ended without a word'}`)
  }
}
