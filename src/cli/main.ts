import { main } from './program.ts'

// `langevin info | head -1` closes our output: the reader has what it wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

process.exitCode = await main(process.argv.slice(2), { out: process.stdout, err: process.stderr })
