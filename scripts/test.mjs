// `npm test`: set-up, types, style, then the tests; arguments go to vitest (`npm test -- src/core`).
// The last line counts them all, types and style as one each.
import { readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { run } from '../bin/node.mjs'
import { setUp } from './setup.mjs'

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const counts = { passed: 0, failed: 0, skipped: 0 }

async function check(title, node, args) {
  const start = Date.now()
  const code = await run(node, args)
  console.log(`${title}: ${code === 0 ? 'ok' : 'failed'} (${((Date.now() - start) / 1000).toFixed(1)} s)`)
  if (code === 0) counts.passed++
  else counts.failed++
}

/** How many tests were skipped for each reason, which stands behind `skipped: ` in a name around them. */
function skipped(files) {
  const reasons = new Map()
  for (const { assertionResults } of files)
    for (const { status, ancestorTitles, title } of assertionResults) {
      if (status !== 'skipped' && status !== 'pending' && status !== 'todo') continue
      const names = [...ancestorTitles, title]
      const named = names.map((name) => /skipped: (.*)/s.exec(name)?.[1]).find((reason) => reason !== undefined)
      const reason = named ?? `"${title}" does not apply on this machine`
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    }
  return reasons
}

try {
  const node = setUp()
  await check('types', node, [at('node_modules/typescript/bin/tsc'), '-p', at('.')])
  await check('style', node, [at('node_modules/@biomejs/biome/bin/biome'), 'check', at('.')])

  const report = at('.cache/vitest.json')
  rmSync(report, { force: true })
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const code = await run(node, [at('node_modules/vitest/vitest.mjs'), 'run', ...reporters, ...process.argv.slice(2)])
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(readFileSync(report, 'utf8'))
  counts.passed += numPassedTests
  counts.failed += Math.max(numFailedTests, code === 0 ? 0 : 1) // A file that does not load fails without a failed test.
  counts.skipped += numPendingTests + numTodoTests
  for (const [reason, number] of skipped(testResults)) console.log(`${number} skipped: ${reason}`)
} catch (error) {
  console.error(error.message)
  counts.failed++
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = counts.failed === 0 ? 0 : 1
