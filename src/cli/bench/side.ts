/*
 * Our side of a benchmark, a process of its own: gets ready, says so, then does one measured run for each line on its
 * standard input and writes one line of JSON for each.
 */
import { createInterface } from 'node:readline'
import { inference, preparation, training } from './unet.ts'

const works = { 'unet-inference': inference, 'unet-training': training }
const task = process.argv[2] as keyof typeof works | 'trace-and-compile'
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

if (task === 'trace-and-compile') {
  say({ ready: true })
  for await (const _ of createInterface(process.stdin))
    say({ ...(await preparation()), maxRss: process.resourceUsage().maxRSS * 1024 })
} else {
  const run = await works[task]()
  say({ ready: true })
  for await (const _ of createInterface(process.stdin)) {
    const before = performance.now()
    await run()
    say({ ms: performance.now() - before, maxRss: process.resourceUsage().maxRSS * 1024 })
  }
}
