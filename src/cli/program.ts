import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import type { Io, Register } from './command.ts'
import { exitCodeOf, explain } from './errors.ts'
import { normalise } from './options.ts'

const { version, description } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

interface Entry {
  /** What stands behind the name in the list of commands. */
  readonly takes: string
  readonly summary: string
  readonly load: () => Promise<Register>
}

/** The commands, each loaded when it is asked for: a list of them needs no more than their summaries. */
const commands: Readonly<Record<string, Entry>> = {
  sample: {
    takes: '<model>',
    summary: 'pictures from an unconditional diffusion model',
    load: async () => (await import('./sample.ts')).sample,
  },
  generate: {
    takes: '[prompt]',
    summary: 'pictures and films from a prompt, by any model that has a pipeline here',
    load: async () => (await import('./generate.ts')).generate,
  },
  upscale: {
    takes: '<pictures...>',
    summary: 'larger pictures, by signal processing or a network',
    load: async () => (await import('./upscale.ts')).upscale,
  },
  write: {
    takes: '[prompt]',
    summary: 'texts, by language models that decide many words at a time',
    load: async () => (await import('./write.ts')).write,
  },
  serve: {
    takes: '',
    summary: 'models behind HTTP: OpenAI’s and others’ interfaces, a queue that survives',
    load: async () => (await import('./serve.ts')).serve,
  },
  studio: {
    takes: '',
    summary: 'a server, and its pages in a browser: make, paint, look at and keep pictures',
    load: async () => (await import('./studio.ts')).studio,
  },
  worker: {
    takes: '',
    summary: 'take jobs of a server’s queue, on this host or another',
    load: async () => (await import('./worker.ts')).worker,
  },
  train: {
    takes: '<recipe>',
    summary: 'train a model from scratch',
    load: async () => (await import('./train.ts')).train,
  },
  evaluate: {
    takes: '<model>',
    summary: 'how good a model is',
    load: async () => (await import('./evaluate.ts')).evaluate,
  },
  compare: {
    takes: '[models...]',
    summary: 'text-to-image models side by side, on the same captions',
    load: async () => (await import('./compare.ts')).compare,
  },
  card: {
    takes: '<run>',
    summary: 'a trained model with its card, as a folder to publish',
    load: async () => (await import('./card.ts')).card,
  },
  demo: {
    takes: '[picture]',
    summary: 'what diffusion does, drawn on points in the plane',
    load: async () => (await import('./demo.ts')).demo,
  },
  bench: {
    takes: '[name]',
    summary: 'measure this machine, next to PyTorch where it is installed',
    load: async () => (await import('./bench.ts')).bench,
  },
  info: {
    takes: '[file]',
    summary: 'what this machine offers, or how a picture was made',
    load: async () => (await import('./info.ts')).info,
  },
  pull: {
    takes: '<names...>',
    summary: 'download models from the hub, and check them',
    load: async () => (await import('./pull.ts')).pull,
  },
  cache: {
    takes: '[action]',
    summary: 'packed weights that are kept on disk: show them, or clear them',
    load: async () => (await import('./cache.ts')).cache,
  },
}

/** The `langevin` program with one of its commands, or with all. */
export async function program(io: Io, only?: string): Promise<Command> {
  const command = bare(io)
  const asked = only !== undefined && Object.hasOwn(commands, only) ? [only] : Object.keys(commands)
  for (const name of asked) (await (commands[name] as Entry).load())(command, io)
  return command
}

/** The program with the names of its commands: enough for its help and its version, and to refuse any other name. */
export function commandList(io: Io): Command {
  const command = bare(io)
  for (const [name, { takes, summary }] of Object.entries(commands))
    command.command(`${name} ${takes}`).summary(summary).option('--any')
  return command
}

function bare(io: Io): Command {
  return new Command('langevin')
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
}

/** Runs one command line (without node and script) and gives its exit code. Prints an error once. */
export async function main(args: readonly string[], io: Io): Promise<number> {
  try {
    const named = args.some((argument) => Object.hasOwn(commands, argument))
    const command = named ? await program(io, args[0]) : commandList(io)
    await command.parseAsync(normalise(args.length > 0 ? args : ['--help']), { from: 'user' })
    return 0
  } catch (error) {
    const code = exitCodeOf(error)
    if (code === 0) return code
    io.err.write(`langevin: ${explain(error)}\n`)
    if (error instanceof CommanderError) io.err.write('See langevin --help, or langevin <command> --help.\n')
    return code
  }
}
