// `npm start`: set-up, then the main job, with the arguments passed on.
import { fileURLToPath } from 'node:url'
import { run } from '../bin/node.mjs'
import { setUp } from './setup.mjs'

const args = process.argv.slice(2)
const langevin = fileURLToPath(new URL('../bin/langevin.mjs', import.meta.url))
try {
  process.exitCode = await run(setUp(), [langevin, ...(args.length ? args : ['--help'])])
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
