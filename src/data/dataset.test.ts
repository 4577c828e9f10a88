import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { mapConcurrently } from './concurrent.ts'
import { batches, type Cursor, cursorAt, type Dataset, epochOrder, labelsOf, positionOf, sampleBatch } from './dataset.ts'

/** A dataset whose captions are the positions that were asked for. */
function counting(length: number, failAt = Number.POSITIVE_INFINITY): Dataset & { asked: number[][] } {
  const asked: number[][] = []
  return {
    length,
    shape: [3, 1, 1],
    classes: [],
    asked,
    async batch(positions) {
      asked.push([...positions])
      if (positions.some((p) => p >= failAt)) throw new Error(`position ${failAt}`)
      return {
        images: NdArray.zeros([positions.length, 3, 1, 1]),
        captions: positions.map(String),
        labels: labelsOf(positions.map(() => 0)),
      }
    },
  }
}

async function read(dataset: Dataset, options: Parameters<typeof batches>[1], most = 100) {
  const seen: { captions: readonly string[]; next: Cursor }[] = []
  for await (const { batch, next } of batches(dataset, options)) {
    seen.push({ captions: batch.captions, next })
    if (seen.length === most) break
  }
  return seen
}

test('every epoch is a permutation, and no two are the same', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.nat(), fc.nat(2 ** 20), (length, seed, epoch) => {
      const at = epochOrder(seed, length)
      const order = Array.from({ length }, (_, i) => at(epoch * length + i))
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length }, (_, i) => i))
    }),
  )
  const at = epochOrder(7, 1000)
  const epochs = [0, 1, 2].map((e) => Array.from({ length: 1000 }, (_, i) => at(e * 1000 + i)))
  const other = Array.from({ length: 1000 }, (_, i) => epochOrder(8, 1000)(i))
  // Two random orders of 1000 agree at one place on average.
  for (const [a, b] of [
    [epochs[0], epochs[1]],
    [epochs[1], epochs[2]],
    [epochs[0], other],
    [epochs[0], epochs[0]?.map((_, i) => i)],
  ])
    expect(a?.filter((x, i) => x === b?.[i]).length).toBeLessThan(8)
})

test('an order is random: neighbours are as far apart as chance puts them', () => {
  const length = 4096
  const at = epochOrder(3, length)
  let distance = 0
  for (let i = 1; i < length; i++) distance += Math.abs(at(i) - at(i - 1))
  // Two uniform places are a third of the length apart on average.
  expect(Math.abs(distance / (length - 1) / length - 1 / 3)).toBeLessThan(0.015)
})

test('batches run through epochs, one ahead, and end with what is left', async () => {
  const dataset = counting(5)
  const seen = await read(dataset, { batchSize: 3, epochs: 2 })
  expect(seen.map(({ captions }) => captions.join(' '))).toEqual(['0 1 2', '3 4 5', '6 7 8', '9'])
  expect(seen.map(({ next }) => next)).toEqual([
    { epoch: 0, index: 3 },
    { epoch: 1, index: 1 },
    { epoch: 1, index: 4 },
    { epoch: 2, index: 0 },
  ])
  const endless = counting(5)
  await read(endless, { batchSize: 2 }, 4)
  expect(endless.asked).toHaveLength(5)
})

test('a reader that resumes at any saved cursor sees what an unbroken one sees', async () => {
  const whole = await read(counting(7), { batchSize: 3, epochs: 3 })
  for (const [i, { next }] of whole.slice(0, -1).entries()) {
    const saved = JSON.parse(JSON.stringify(next)) as Cursor
    expect(await read(counting(7), { batchSize: 3, epochs: 3, from: saved })).toEqual(whole.slice(i + 1))
  }
  expect(positionOf(cursorAt(23, 7), 7)).toBe(23)
})

test("a batch's error comes when its turn comes, and not before", async () => {
  const seen: string[] = []
  const reading = async () => {
    for await (const { batch } of batches(counting(9, 4), { batchSize: 2 })) seen.push(batch.captions.join(' '))
  }
  await expect(reading()).rejects.toThrow('position 4')
  expect(seen).toEqual(['0 1', '2 3'])
  // Left alone after the first batch, the failing one read ahead must not end the process.
  await read(counting(9, 2), { batchSize: 2 }, 1)
})

test('batch sizes and cursors that fit no dataset are refused', async () => {
  await expect(read(counting(5), { batchSize: 0 })).rejects.toThrow(ArgumentError)
  await expect(read(counting(5), { batchSize: 2, from: { epoch: 0, index: 5 } })).rejects.toThrow('no place in a dataset of 5')
})

test('a sample depends on the generator alone', async () => {
  const draw = async (seed: number) => (await sampleBatch(counting(10), new Generator(seed), 6)).captions
  expect(await draw(1)).toEqual(await draw(1))
  expect(await draw(1)).not.toEqual(await draw(2))
})

test('mapConcurrently keeps the order and the limit', async () => {
  let running = 0
  let most = 0
  const out = await mapConcurrently([30, 5, 20, 1, 10], 2, async (ms, i) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, ms))
    running--
    return `${i}:${ms}`
  })
  expect(out).toEqual(['0:30', '1:5', '2:20', '3:1', '4:10'])
  expect(most).toBe(2)
})
