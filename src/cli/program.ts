import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { bench } from './bench.ts'
import { card } from './card.ts'
import type { Io } from './command.ts'
import { demo } from './demo.ts'
import { exitCodeOf, explain } from './errors.ts'
import { evaluate } from './evaluate.ts'
import { generate } from './generate.ts'
import { info } from './info.ts'
import { normalise } from './options.ts'
import { sample } from './sample.ts'
import { train } from './train.ts'

const { version, description } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

/** The `langevin` program with all its commands. */
export function program(io: Io): Command {
  const command = new Command('langevin')
    .description(description)
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help for the program or a command')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out.write(text), writeErr: (text) => io.err.write(text), outputError: () => {} })
    .addHelpText(
      'after',
      '\nFlags may be written --like-this or --like_this. Results go to standard output, the rest to standard error.',
    )
    .addHelpText('after', 'Exit codes: 0 done, 1 failed, 2 wrong flags or arguments, 130 interrupted.')
  for (const register of [sample, generate, train, evaluate, card, demo, bench, info]) register(command, io)
  return command
}

/** Runs one command line (without node and script) and gives its exit code. Prints an error once. */
export async function main(args: readonly string[], io: Io): Promise<number> {
  try {
    await program(io).parseAsync(normalise(args.length > 0 ? args : ['--help']), { from: 'user' })
    return 0
  } catch (error) {
    const code = exitCodeOf(error)
    if (code === 0) return code
    io.err.write(`langevin: ${explain(error)}\n`)
    if (error instanceof CommanderError) io.err.write('See langevin --help, or langevin <command> --help.\n')
    return code
  }
}
