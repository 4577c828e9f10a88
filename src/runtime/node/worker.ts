/* The thread of a `WorkerProgram`: one session, run for each message. */
import { parentPort, workerData } from 'node:worker_threads'
import { createSession, fromOrt, toOrt } from '../engine.ts'
import { NdArray } from '../ndarray.ts'
import type { Answer, Message, Request, Start } from './worker-program.ts'

const port = parentPort as NonNullable<typeof parentPort>
const answer = (answer: Answer, move: ArrayBuffer[] = []) => port.postMessage(answer, move)

const { model, options } = workerData as Start
const session = await createSession(model, options)
answer({ outputs: {}, carrier: new ArrayBuffer(0) })

port.on('message', async (message: Request | 'release') => {
  if (message === 'release') {
    await session.release()
    port.close()
    return
  }
  try {
    const outputs = await run(message.values)
    const buffers = Object.values(outputs).map(({ data }) => data.buffer as ArrayBuffer)
    answer({ outputs, carrier: message.carrier }, [...new Set(buffers), message.carrier])
  } catch (error) {
    answer({ error: `the program failed beside others: ${(error as Error).message}`, carrier: message.carrier }, [
      message.carrier,
    ])
  }
})

async function run(values: Message): Promise<Message> {
  const feeds = await Promise.all(
    Object.entries(values).map(
      async ([name, { data, shape, dtype }]) => [name, await toOrt(new NdArray(data, shape, dtype))] as const,
    ),
  )
  const results = Object.entries(await session.run(Object.fromEntries(feeds)))
  return Object.fromEntries(
    results.map(([name, tensor]) => {
      const { data, shape, dtype } = fromOrt(tensor)
      return [name, { data, shape, dtype }]
    }),
  )
}
