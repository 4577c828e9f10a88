// `npm start`: set-up, then the main job with the prompt and flags given; or any command of langevin, `npm start -- info`.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { run } from '../bin/node.mjs'
import { setUp } from './setup.mjs'
import { buildStudio } from './studio.mjs'

const prompt = 'a red fox and a slice of pizza on a blue background'
const mainJob = 'generate --model stickers-t2i --num 4 --grid --steps 20 --guidance 2 --out langevin.png'.split(' ')
// What enlarges the bundled model's pictures, where it is there; `--upscale none` leaves them small.
const upscaler = fileURLToPath(new URL('../zoo/stickers-x4', import.meta.url))
const enlarged = existsSync(upscaler) ? ['--upscale', 'stickers-x4'] : []
const commands = [
  'sample',
  'generate',
  'train',
  'evaluate',
  'compare',
  'card',
  'demo',
  'bench',
  'info',
  'pull',
  'upscale',
  'cache',
  'serve',
  'studio',
  'worker',
  'write',
]
const args = process.argv.slice(2)
const [first] = args
// The prompt as a flag serves where the arguments hold none of their own.
const job = commands.includes(first) ? [] : [...mainJob, ...enlarged, '--prompt', prompt]
const langevin = fileURLToPath(new URL('../bin/langevin.mjs', import.meta.url))
try {
  const node = setUp()
  if (first === 'studio' && !args.includes('--help')) await buildStudio(node)
  process.exitCode = await run(node, [langevin, ...job, ...args])
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
