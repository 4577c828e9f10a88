import type { Device } from '../src/runtime/backend.ts'
import { Generator } from '../src/runtime/random.ts'
import { connect, filesOf, imageDataOf, type Langevin, type Model, type ModelSource, type PickedFiles } from '../src/web/index.ts'
import { drawLosses, drawPoints } from './charts.ts'
import { at, field, frame, megabytes, onRun, say } from './dom.ts'
import { pointsOf, type ShapeName } from './shapes.ts'
import type { TrainInput, TrainProgress } from './train-task.ts'

declare const ENGINE_BYTES: Readonly<Record<'wasm' | 'jspi' | 'asyncify', number>>

const start = (): Langevin => connect(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }))

/** One worker draws, another trains: both go on at the same time. */
const [drawer, trainer] = [start(), start()]
const source: ModelSource = { url: new URL('./models/stickers-t2i/', document.baseURI).href }
const STEPS = 3000
/** Bytes of the worker's script and of ONNX Runtime's, about. */
const PROGRAM = 1.1e6

async function devices(): Promise<void> {
  const run = drawer.task<never, Device[]>('devices')
  const found = (await run.next()).value as Device[]
  const there = found.filter(({ available }) => available)
  const ways = there.map(({ description }) => description.replace(', convolutions without blocks of channels', ''))
  say('machine', `This browser runs models on ${ways.join(', and on ')}.`)
  // Without JSPI the build with WebGPU is as large as the model, and a software renderer is slower than the processor.
  const use = there.filter(({ name, goodFor }) => name === 'cpu' || ('Suspending' in WebAssembly && goodFor !== 'tests only'))
  for (const select of document.querySelectorAll<HTMLSelectElement>('select[name=device]')) {
    const options = use.map(({ name }) => new Option(name === 'cpu' ? 'processor' : 'GPU', name))
    select.replaceChildren(...options)
    select.value = use.some(({ name }) => name === 'webgpu') ? 'webgpu' : 'cpu'
    select.addEventListener('change', () => void tellSize())
  }
  await tellSize()
}

/** What the first picture fetches is said before it starts. */
async function tellSize(): Promise<void> {
  const { bytes, kept } = await drawer.measure(source)
  const engine = ENGINE_BYTES[field(at('draw'), 'device').value === 'webgpu' ? 'jspi' : 'wasm']
  const parts = `${megabytes(engine)} are the engine${kept === bytes ? ', and the model is here already' : `, ${megabytes(bytes - kept)} the model`}`
  say('draw-size', opened ? '' : `The first picture fetches up to ${megabytes(engine + bytes - kept + PROGRAM)}: ${parts}.`)
}

let opened: { readonly device: string; readonly model: Model } | undefined

async function modelOn(device: string, signal: AbortSignal): Promise<Model> {
  if (opened?.device === device) return opened.model
  await opened?.model.close()
  opened = undefined
  const bar = at<HTMLProgressElement>('draw-progress')
  bar.hidden = false
  const model = await drawer.open(
    source,
    { device: device as 'cpu' },
    {
      signal,
      onProgress({ done, total }) {
        bar.value = done / total
        say('draw-status', `Fetching the model: ${megabytes(done)} of ${megabytes(total)}`)
      },
    },
  )
  opened = { device, model }
  return model
}

/** Draws with a model and shows each step. */
async function draw(model: Model, options: Record<string, unknown>, part: 'draw' | 'own', signal: AbortSignal): Promise<void> {
  const bar = at<HTMLProgressElement>(`${part}-progress`)
  bar.hidden = false
  bar.value = 0
  say(`${part}-status`, 'Compiling the networks…')
  const paint = frame(at(`${part}-pictures`), `${options.prompt ?? model.className} · seed ${options.seed}`)
  const began = performance.now()
  const run = model.generate(options, { signal, preview: 'sketch' })
  try {
    for (;;) {
      const { done, value } = await run.next()
      if (done) {
        if (value.type !== 'pictures') throw new Error(`the model made ${value.type}, which this page does not show`)
        for (const image of imageDataOf(value.pictures)) paint(image)
        say(`${part}-status`, `Drawn in ${((performance.now() - began) / 1000).toFixed(1)} s.`)
        return
      }
      bar.value = value.done / value.total
      say(`${part}-status`, `Step ${value.done} of ${value.total}`)
      if (value.preview?.type === 'pictures') paint(imageDataOf(value.preview.pictures)[0] as ImageData)
    }
  } finally {
    bar.hidden = true
    await run.return(undefined as never)
  }
}

const drawForm = at<HTMLFormElement>('draw')
onRun(drawForm, 'draw-status', async (signal) => {
  say('draw-status', 'Opening the model…')
  try {
    const model = await modelOn(field(drawForm, 'device').value, signal)
    const number = (name: string) => field(drawForm, name).valueAsNumber
    const options = {
      prompt: field(drawForm, 'prompt').value,
      steps: number('steps'),
      guidance: number('guidance'),
      seed: number('seed'),
    }
    await draw(model, options, 'draw', signal)
    field(drawForm, 'seed').value = String(options.seed + 1)
  } finally {
    at('draw-progress').hidden = true
    void tellSize()
  }
})

const trainForm = at<HTMLFormElement>('train')
const shape = () => field(trainForm, 'shape').value as ShapeName
const shownData = () => pointsOf(shape(), 1500, new Generator(2)).data
let samples: Float32Array | undefined
let losses: number[] = []
const showData = () => {
  drawPoints(shownData(), samples)
  drawLosses(losses, STEPS)
}
field(trainForm, 'shape').addEventListener('change', () => {
  samples = undefined
  losses = []
  showData()
})
onRun(trainForm, 'train-status', async (signal) => {
  const input: TrainInput = { shape: shape(), steps: STEPS, every: 100 }
  const data = shownData()
  say('train-status', 'Fetching the engine and compiling the step…')
  samples = undefined
  losses = []
  drawPoints(data)
  const began = performance.now()
  for await (const progress of trainer.task<TrainProgress>('train', input, { signal })) {
    losses.push(...progress.losses)
    drawLosses(losses, STEPS)
    if (progress.samples) {
      samples = progress.samples
      drawPoints(data, samples)
    }
    const seconds = (performance.now() - began) / 1000
    const recent = losses.slice(-100)
    const mean = recent.reduce((sum, loss) => sum + loss, 0) / recent.length
    say('train-status', `Step ${progress.step} of ${STEPS}, loss ${mean.toFixed(3)}, ${seconds.toFixed(0)} s`)
  }
})

let own: { readonly files: ReadonlyMap<string, File>; readonly device: string; readonly model: Model } | undefined
const ownForm = at<HTMLFormElement>('own')

async function openOwn(files: ReadonlyMap<string, File>, device: 'cpu' | 'webgpu'): Promise<Model> {
  await own?.model.close()
  own = undefined
  const model = await drawer.open({ files }, { device })
  own = { files, device, model }
  const { properties = {} } = model.schema as { properties?: Record<string, unknown> }
  for (const label of ownForm.querySelectorAll<HTMLElement>('[data-option]'))
    label.hidden = !((label.dataset.option as string) in properties)
  const bytes = [...files.values()].reduce((sum, { size }) => sum + size, 0)
  say('own-model', `${model.className}, ${files.size} files, ${megabytes(bytes)}`)
  ownForm.hidden = false
  return model
}

async function take(picked: PickedFiles): Promise<void> {
  ownForm.hidden = true
  say('own-status', 'Opening…')
  try {
    await openOwn(await filesOf(picked), field(ownForm, 'device').value as 'cpu')
    say('own-status', '')
  } catch (error) {
    say('own-status', (error as Error).message, true)
  }
}

onRun(ownForm, 'own-status', async (signal) => {
  if (!own) throw new Error('choose a model first')
  const device = field(ownForm, 'device').value as 'cpu'
  const model = own.device === device ? own.model : await openOwn(own.files, device)
  const options: Record<string, unknown> = {}
  for (const label of ownForm.querySelectorAll<HTMLElement>('[data-option]:not([hidden])')) {
    const name = label.dataset.option as string
    const input = field(ownForm, name)
    options[name] = input.type === 'number' ? input.valueAsNumber : input.value
  }
  await draw(model, options, 'own', signal)
})

for (const id of ['own-folder', 'own-files']) {
  const input = at<HTMLInputElement>(id)
  input.addEventListener('change', () => {
    if (input.files?.length) void take([...input.files])
  })
}
const drop = at('own-drop')
drop.addEventListener('dragover', (event) => {
  event.preventDefault()
  drop.classList.add('over')
})
drop.addEventListener('dragleave', () => drop.classList.remove('over'))
drop.addEventListener('drop', (event) => {
  event.preventDefault()
  drop.classList.remove('over')
  if (event.dataTransfer) void take(event.dataTransfer.items)
})

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showData)
showData()
devices().catch((error: Error) => say('machine', error.message, true))
