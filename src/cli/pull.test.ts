import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { FolderError } from '../checkpoints/index.ts'
import { checkZooModel, zooRepository } from '../pipelines/open/zoo-hub.ts'
import { main } from './program.ts'

async function run(...args: string[]) {
  let out = ''
  let err = ''
  const code = await main(args, { out: { write: (text) => (out += text) }, err: { write: (text) => (err += text) } })
  return { code, out, err }
}

test('a model of the clone needs no download, and its folder is the result', async () => {
  const { code, out } = await run('pull', 'stickers-t2i', '--json')
  expect(code).toBe(0)
  expect(JSON.parse(out).models).toMatchObject([{ name: 'stickers-t2i', bytes: 0 }])
})

test('names that are none are refused in words', async () => {
  expect(await run('pull')).toMatchObject({ code: 2 })
  const { code, err } = await run('pull', 'no such model')
  expect(code).toBe(1)
  expect(err).toContain("which would be 'org/name'")
})

test('what was brought is held against the checksums of the build', async () => {
  const dir = temporaryFolder()
  writeFileSync(join(dir, 'config.json'), '{}')
  const sum = createHash('sha256').update('{}').digest('hex')
  await checkZooModel('a', dir, { a: { 'config.json': sum } })
  const changed = { a: { 'config.json': sum.replace(/^./, (c) => (c === '0' ? '1' : '0')), 'model.safetensors': sum } }
  await expect(checkZooModel('a', dir, changed)).rejects.toThrow(FolderError)
  await expect(checkZooModel('a', dir, changed)).rejects.toThrow('config.json is another, model.safetensors is missing')
  expect(zooRepository('ddpm-faces-32')).toBe('langevin-zoo/ddpm-faces-32')
})
