// Given to a process by NODE_OPTIONS=--import: its clock is as many milliseconds ahead as the file LANGEVIN_TEST_CLOCK says, which may change.
import { readFileSync } from 'node:fs'

const now = Date.now.bind(Date)
let ahead = 0
let looked = 0
Date.now = () => {
  if (now() - looked > 100) {
    looked = now()
    try {
      ahead = Number(readFileSync(process.env.LANGEVIN_TEST_CLOCK, 'utf8'))
    } catch {
      ahead = 0
    }
  }
  return now() + ahead
}
