import { expect, test } from 'vitest'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { decodePixels } from './decode.ts'
import { toPixels } from './pixels.ts'
import { drawInTerminal, terminalGraphics } from './terminal.ts'

function terminal(depth: number, isTTY = true) {
  const written: string[] = []
  return { isTTY, columns: 100, rows: 40, getColorDepth: () => depth, write: (text: string) => written.push(text), written }
}
/** Red above, blue below. */
const flag = new NdArray(Uint8Array.from([255, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 255]), [2, 2, 3], 'u8')

test.each([
  [{ TERM: 'xterm-kitty' }, 24, 'kitty'],
  [{ TERM: 'xterm-256color', KITTY_WINDOW_ID: '1' }, 24, 'kitty'],
  [{ TERM: 'xterm-ghostty' }, 24, 'kitty'],
  [{ TERM_PROGRAM: 'iTerm.app' }, 24, 'iterm'],
  [{ TERM_PROGRAM: 'WezTerm' }, 24, 'iterm'],
  [{ TERM_PROGRAM: 'WezTerm', TMUX: '/tmp/x' }, 24, 'truecolour'],
  [{ TERM: 'xterm-256color' }, 24, 'truecolour'],
  [{ TERM: 'xterm-256color' }, 8, 'colour256'],
  [{ TERM: 'xterm' }, 4, 'none'],
  [{ TERM: 'xterm-256color', NO_COLOR: '1' }, 24, 'none'],
  [{ TERM: 'dumb' }, 24, 'none'],
])('%j with %i bits of colour: %s', (env, depth, way) => {
  expect(terminalGraphics(terminal(depth), env as NodeJS.ProcessEnv)).toBe(way)
})

test('nothing is written where there is no terminal', async () => {
  const file = terminal(24, false)
  expect(await drawInTerminal(flag, { stream: file, env: { TERM: 'xterm-kitty' } })).toBe('none')
  expect(file.written).toEqual([])
})

test('half blocks carry the upper pixel in front and the lower behind', async () => {
  const rgb = terminal(24)
  await drawInTerminal(flag, { stream: rgb, env: {} })
  const cell = '\x1b[38;2;255;0;0;48;2;0;0;255m▀'
  expect(rgb.written.join('')).toBe(`${cell}${cell}\x1b[0m\n`)
  const cube = terminal(8)
  await drawInTerminal(flag, { stream: cube, env: {} })
  expect(cube.written.join('')).toContain('\x1b[38;5;196;48;5;21m▀')
})

test('a picture too wide is shrunk to the columns by averaging, and keeps its shape', async () => {
  const wide = new NdArray(
    Uint8Array.from({ length: 80 * 160 * 3 }, (_, i) => (Math.floor(i / 3) % 2 ? 200 : 100)),
    [80, 160, 3],
    'u8',
  )
  const screen = terminal(24)
  await drawInTerminal(wide, { stream: screen, env: {}, columns: 40 })
  const lines = screen.written.join('').trimEnd().split('\n')
  expect(lines).toHaveLength(10)
  expect(lines[0]?.match(/▀/g)).toHaveLength(40)
  expect(lines[0]).toContain('38;2;150;150;150;48;2;150;150;150')
})

test('both protocols carry the whole PNG', async () => {
  const noise = toPixels(new Generator(0).randn([3, 60, 60]))
  const kitty = terminal(24)
  await drawInTerminal(noise, { stream: kitty, env: { TERM: 'xterm-kitty' } })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the protocol is made of them
  const parts = [...kitty.written.join('').matchAll(/\x1b_G(.*?);(.*?)\x1b\\/g)]
  expect(parts.length).toBeGreaterThan(1)
  expect(parts.map(([, keys]) => keys?.slice(-1)).join('')).toBe(`${'1'.repeat(parts.length - 1)}0`)
  const sent = Buffer.from(parts.map(([, , data]) => data).join(''), 'base64')
  expect((await decodePixels(sent)).data).toEqual(noise.data)

  const iterm = terminal(24)
  await drawInTerminal(noise, { stream: iterm, env: { TERM_PROGRAM: 'iTerm.app' } })
  const data = iterm.written.join('').split(':').at(-1)?.replace('\x07\n', '') ?? ''
  expect((await decodePixels(Buffer.from(data, 'base64'))).data).toEqual(noise.data)
})
