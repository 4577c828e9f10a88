/** The element of an id. */
export function at<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id)
  if (!found) throw new Error(`the page has no #${id}`)
  return found as T
}

/** A form's field. */
export const field = (form: HTMLFormElement, name: string) => form.elements.namedItem(name) as HTMLInputElement

/** Says something below a part of the page; errors in their colour. */
export function say(id: string, text: string, isError = false): void {
  const place = at(id)
  place.textContent = text
  place.classList.toggle('error', isError)
}

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`

/** Runs a form's work, stoppable by its second button; what fails is said. */
export function onRun(form: HTMLFormElement, status: string, work: (signal: AbortSignal) => Promise<void>): void {
  const [submit, stop] = [form.querySelector<HTMLButtonElement>('[type=submit]'), field(form, 'stop')]
  let current: AbortController | undefined
  stop.addEventListener('click', () => current?.abort(new Error('stopped')))
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (current || !submit) return
    current = new AbortController()
    submit.disabled = true
    stop.hidden = false
    try {
      await work(current.signal)
    } catch (error) {
      const stopped = current.signal.aborted
      say(status, stopped ? 'Stopped.' : (error as Error).message, !stopped)
    } finally {
      current = undefined
      submit.disabled = false
      stop.hidden = true
    }
  })
}

/** Shows a picture before those that are there, with what it is; gives the canvas, to be painted on. */
export function frame(pictures: HTMLElement, caption: string): (image: ImageData) => void {
  const [figure, canvas, text] = [
    document.createElement('figure'),
    document.createElement('canvas'),
    document.createElement('figcaption'),
  ]
  text.textContent = caption
  figure.append(canvas, text)
  canvas.setAttribute('role', 'img')
  canvas.setAttribute('aria-label', caption)
  let shown = false
  return (image) => {
    canvas.width = image.width
    canvas.height = image.height
    canvas.getContext('2d')?.putImageData(image, 0, 0)
    if (!shown) pictures.prepend(figure)
    shown = true
  }
}

/** A colour of the style sheet. */
export const colour = (name: string): string => {
  const probe = document.createElement('span')
  probe.style.color = `var(--${name})`
  document.body.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
