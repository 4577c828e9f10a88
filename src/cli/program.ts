import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import type { Io, Register } from './command.ts'
import { exitCodeOf, explain } from './errors.ts'
import { normalise } from './options.ts'

const { version, description } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

/** The commands, each loaded when it is asked for. */
const commands: Readonly<Record<string, () => Promise<Register>>> = {
  sample: async () => (await import('./sample.ts')).sample,
  generate: async () => (await import('./generate.ts')).generate,
  upscale: async () => (await import('./upscale.ts')).upscale,
  train: async () => (await import('./train.ts')).train,
  evaluate: async () => (await import('./evaluate.ts')).evaluate,
  card: async () => (await import('./card.ts')).card,
  demo: async () => (await import('./demo.ts')).demo,
  bench: async () => (await import('./bench.ts')).bench,
  info: async () => (await import('./info.ts')).info,
  pull: async () => (await import('./pull.ts')).pull,
  cache: async () => (await import('./cache.ts')).cache,
}

/** The `langevin` program with one of its commands, or with all. */
export async function program(io: Io, only?: string): Promise<Command> {
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
  const asked = only !== undefined && Object.hasOwn(commands, only) ? [only] : Object.keys(commands)
  for (const name of asked) (await (commands[name] as () => Promise<Register>)())(command, io)
  return command
}

/** Runs one command line (without node and script) and gives its exit code. Prints an error once. */
export async function main(args: readonly string[], io: Io): Promise<number> {
  try {
    await (await program(io, args[0])).parseAsync(normalise(args.length > 0 ? args : ['--help']), { from: 'user' })
    return 0
  } catch (error) {
    const code = exitCodeOf(error)
    if (code === 0) return code
    io.err.write(`langevin: ${explain(error)}\n`)
    if (error instanceof CommanderError) io.err.write('See langevin --help, or langevin <command> --help.\n')
    return code
  }
}
