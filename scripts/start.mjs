// `npm start`: set-up, then the main job with the flags given; or any command of langevin, `npm start -- info`.
import { fileURLToPath } from 'node:url'
import { run } from '../bin/node.mjs'
import { setUp } from './setup.mjs'

const mainJob = 'sample ddpm-faces-32 --scheduler ddim --steps 50 --out langevin.png'.split(' ')
const args = process.argv.slice(2)
const isCommand = args[0] !== undefined && !args[0].startsWith('-')
const langevin = fileURLToPath(new URL('../bin/langevin.mjs', import.meta.url))
try {
  process.exitCode = await run(setUp(), [langevin, ...(isCommand ? args : [...mainJob, ...args])])
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
