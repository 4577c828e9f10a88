import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { z } from 'zod'
import { InterruptError } from './errors.ts'
import { addOptions, type Schema } from './options.ts'

/** What a command writes to: results go to `out`, everything else (progress, notes) to `err`. */
export interface Io {
  readonly out: { write(text: string): unknown }
  readonly err: { write(text: string): unknown }
}

/** A command of the `langevin` program: one schema gives its flags, its help and its options' type. */
export interface CommandSpec<S extends Schema> {
  readonly name: string
  /** One line, for the list of commands. */
  readonly summary: string
  /** What `--help` says above the flags. */
  readonly description: string
  readonly options: S
  /** Keys of `options` given by place, without a flag. */
  readonly positional?: readonly (keyof z.infer<S> & string)[]
  /** Other names of flags, as `--negative-prompt` for `--negative`. */
  readonly aliases?: Readonly<Record<string, string>>
  /** Command lines with what each does, shown by `--help`. */
  readonly examples: readonly (readonly [line: string, meaning: string])[]
  run(options: z.infer<S>, io: Io): Promise<void> | void
}

/** Adds a command to the program. */
export type Register = (program: Command, io: Io) => void

export function defineCommand<S extends Schema>(spec: CommandSpec<S>): Register {
  return (program, io) => {
    const command = program.command(spec.name).summary(spec.summary).description(spec.description)
    const options = addOptions(command, spec.options, spec.positional, spec.aliases)
    const width = Math.max(...spec.examples.map(([line]) => line.length))
    const examples = spec.examples.map(([line, meaning]) => `  ${line.padEnd(width)}  ${meaning}`)
    command.addHelpText('after', `\nExamples:\n${examples.join('\n')}`)
    command.action(() => spec.run(options(), io))
  }
}

/** With `--json` a command's only line on standard output is its result as JSON; else `text` of it. */
export function printResult<T>(io: Io, json: boolean, result: T, text: (result: T) => string): void {
  io.out.write(`${json ? JSON.stringify(result) : text(result)}\n`)
}

/**
 * A signal that Ctrl-C aborts, with InterruptError as its reason, for commands that have something to finish first.
 * It is seen between runs of the engine, which block the thread; a second Ctrl-C ends at once. Commands that do not ask for it end at once.
 *
 * @param options.say told at the first Ctrl-C
 * @param options.terminate whether SIGTERM, by which systems stop a program, does the same
 */
export function onInterrupt({ say, terminate = false }: { say?: () => void; terminate?: boolean } = {}): AbortSignal {
  if (!interrupt || interrupt.aborted) {
    const controller = new AbortController()
    interrupt = controller.signal
    const names: NodeJS.Signals[] = terminate ? ['SIGINT', 'SIGTERM'] : ['SIGINT']
    let first: number | undefined
    const heard = (name: NodeJS.Signals) => {
      if (first === undefined) {
        first = performance.now()
        say?.()
        controller.abort(new InterruptError())
        return
      }
      // One press reaches us from the terminal and again from the launcher.
      if (performance.now() - first < 500) return
      for (const other of names) process.off(other, heard)
      process.kill(process.pid, name)
    }
    for (const name of names) process.on(name, heard)
  }
  return interrupt
}
let interrupt: AbortSignal | undefined

/** The package's version. */
export const version = (): string => JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
