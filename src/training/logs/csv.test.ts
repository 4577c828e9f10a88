import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ArgumentError } from '../../core/errors.ts'
import { csvLog } from './csv.ts'

let folder = ''
let path = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'langevin-csv-'))
  path = join(folder, 'run', 'log.csv')
})

afterEach(() => rmSync(folder, { recursive: true }))

const lines = () => readFileSync(path, 'utf8').split('\n')

test('rows are in the file as they are written, and numbers read back bit for bit', () => {
  const log = csvLog(path, ['loss', 'lr'])
  const loss = Math.fround(0.1)
  log.write(1, { loss, lr: 1e-4 })
  log.write(2, { lr: 0 })
  log.write(3, { loss: Number.NaN })
  expect(lines()).toEqual(['step,loss,lr', `1,${loss},0.0001`, '2,,0', '3,NaN,', ''])
  expect(Number(lines()[1]!.split(',')[1])).toBe(loss)
})

test('a resumed log is the log of a run that never stopped', () => {
  const write = (log: ReturnType<typeof csvLog<'loss'>>, from: number, to: number) => {
    for (let step = from; step <= to; step++) log.write(step, { loss: 1 / step })
  }
  write(csvLog(path, ['loss']), 1, 12)
  const whole = readFileSync(path, 'utf8')
  write(csvLog(path, ['loss']), 1, 10)
  appendFileSync(path, '11,0.09') // Killed while it wrote.
  write(csvLog(path, ['loss'], { resumeStep: 9 }), 10, 12)
  expect(readFileSync(path, 'utf8')).toBe(whole)
})

test('without resuming, the file starts anew; resuming without a file does as well', () => {
  csvLog(path, ['loss']).write(1, { loss: 1 })
  csvLog(path, ['loss'])
  expect(lines()).toEqual(['step,loss', ''])
  rmSync(path)
  csvLog(path, ['loss'], { resumeStep: 5 })
  expect(lines()).toEqual(['step,loss', ''])
})

test('a log with other columns is left as it is', () => {
  csvLog(path, ['loss']).write(1, { loss: 1 })
  expect(() => csvLog(path, ['loss', 'lr'], { resumeStep: 1 })).toThrow(ArgumentError)
  expect(lines()).toEqual(['step,loss', '1,1', ''])
  writeFileSync(path, '')
  expect(() => csvLog(path, ['loss'], { resumeStep: 1 })).toThrow('an empty file')
})
