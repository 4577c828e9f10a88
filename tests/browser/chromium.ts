import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const places = [
  ...(process.env.PATH ?? '').split(delimiter).flatMap((folder) => names.map((name) => join(folder, name))),
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
]

/** The browser's program: the one that `CHROMIUM` names, or one that is installed. */
export const chromium: string | undefined = process.env.CHROMIUM || places.find((path) => existsSync(path))

export interface Page {
  /** The value of an expression, awaited, as JSON holds it. @throws Error with the page's */
  evaluate<T>(expression: string): Promise<T>
  goto(url: string): Promise<void>
  /** A picture of the page, at a width and with a preference of colours. */
  screenshot(file: string, width: number, scheme?: 'light' | 'dark'): Promise<void>
  /** What the console said. */
  readonly said: readonly string[]
  command(method: string, params?: object): Promise<Record<string, unknown>>
}

/** A browser without a window, with one page; talked to by the DevTools protocol. */
export async function startBrowser(flags: readonly string[] = []): Promise<{ page: Page; close(): Promise<void> }> {
  const profile = mkdtempSync(join(tmpdir(), 'langevin-browser-'))
  const child = spawn(
    chromium as string,
    [
      '--headless=new',
      '--no-sandbox',
      '--no-first-run',
      '--disable-gpu-sandbox',
      `--user-data-dir=${profile}`,
      '--remote-debugging-port=0',
      ...flags,
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const address = await devtools(child)
  const targets = (await (await fetch(`http://${new URL(address).host}/json/list`)).json()) as {
    type: string
    webSocketDebuggerUrl: string
  }[]
  const page = await pageAt(targets.find(({ type }) => type === 'page')?.webSocketDebuggerUrl as string)
  return {
    page,
    async close() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await gone
      rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    },
  }
}

const devtools = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    let output = ''
    child.stderr?.on('data', (chunk) => {
      output += chunk
      const found = /DevTools listening on (ws:\S+)/.exec(output)
      if (found) resolve(found[1] as string)
    })
    child.once('exit', (code) => reject(new Error(`the browser ended with ${code}: ${output.slice(-1000)}`)))
  })

async function pageAt(url: string): Promise<Page> {
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = () => reject(new Error(`no connection to ${url}`))
  })
  const waiting = new Map<number, (answer: { result?: Record<string, unknown>; error?: { message: string } }) => void>()
  const said: string[] = []
  const loads: (() => void)[] = []
  let last = 0
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data as string)
    if (message.id !== undefined) waiting.get(message.id)?.(message)
    if (message.method === 'Runtime.consoleAPICalled')
      said.push(
        message.params.args.map((arg: { value?: unknown; description?: string }) => arg.value ?? arg.description).join(' '),
      )
    if (message.method === 'Runtime.exceptionThrown')
      said.push(message.params.exceptionDetails.exception?.description ?? message.params.exceptionDetails.text)
    if (message.method === 'Log.entryAdded') said.push(message.params.entry.text)
    if (message.method === 'Page.loadEventFired') for (const load of loads.splice(0)) load()
  }
  const command = async (method: string, params: object = {}) => {
    const id = ++last
    const answer = await new Promise<{ result?: Record<string, unknown>; error?: { message: string } }>((resolve) => {
      waiting.set(id, resolve)
      socket.send(JSON.stringify({ id, method, params }))
    })
    waiting.delete(id)
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`)
    return answer.result ?? {}
  }
  for (const domain of ['Page', 'Runtime', 'Log']) await command(`${domain}.enable`)
  return {
    said,
    command,
    async evaluate<T>(expression: string) {
      const { result, exceptionDetails } = (await command('Runtime.evaluate', {
        expression,
        awaitPromise: true,
        returnByValue: true,
        userGesture: true,
      })) as { result: { value: T }; exceptionDetails?: { text: string; exception?: { description?: string } } }
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
      return result.value
    },
    async goto(to) {
      const loaded = new Promise<void>((resolve) => {
        loads.push(resolve)
      })
      await command('Page.navigate', { url: to })
      await loaded
    },
    async screenshot(file, width, scheme = 'light') {
      await command('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] })
      const metrics = { width, height: 800, deviceScaleFactor: 1, mobile: width < 500 }
      await command('Emulation.setDeviceMetricsOverride', metrics)
      const { data } = await command('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true })
      writeFileSync(file, Buffer.from(data as string, 'base64'))
    },
  }
}
