#!/usr/bin/env node
// The command: its source in a clone, the built one in the published package, each under a Node that is new enough.
import { fileURLToPath } from 'node:url'
import { findNode, inClone, run } from './node.mjs'

const program = new URL(inClone ? '../src/cli/main.ts' : '../dist/cli/main.js', import.meta.url)
try {
  const node = findNode()
  if (node === process.execPath) await import(program.href)
  else process.exitCode = await run(node, [fileURLToPath(program), ...process.argv.slice(2)])
} catch (error) {
  console.error(`langevin: ${error.message}`)
  process.exitCode = 1
}
