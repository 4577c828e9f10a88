import { connect, imageDataOf } from 'langevin/web'

const langevin = connect(new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }))
const status = document.querySelector('[role=status]')
const canvas = document.querySelector('canvas')

// public/stickers-t2i is a copy of zoo/stickers-t2i with a files.json that lists them: docs/browser.md says how.
const source = { url: new URL('./stickers-t2i/', document.baseURI).href }
let model

document.querySelector('form').addEventListener('submit', async (event) => {
  event.preventDefault()
  const prompt = new FormData(event.target).get('prompt')
  model ??= await langevin.open(
    source,
    {},
    {
      onProgress: ({ done, total }) => {
        status.textContent = `Fetching: ${Math.round((100 * done) / total)} %`
      },
    },
  )
  const run = model.generate({ prompt, steps: 10, seed: 0 }, { preview: 'sketch' })
  for (;;) {
    const { done, value } = await run.next()
    if (done) {
      canvas.getContext('2d').putImageData(imageDataOf(value.pictures)[0], 0, 0)
      status.textContent = 'Drawn.'
      return
    }
    status.textContent = `Step ${value.done} of ${value.total}`
  }
})
