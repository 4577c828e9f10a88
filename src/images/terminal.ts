import { encodePng } from './encode.ts'
import { type Picture, pixelsOf, sizeOf, toRgb } from './pixels.ts'

/** How a terminal shows pictures: by kitty's protocol, by iTerm2's, as coloured half blocks, or not at all. */
export type TerminalGraphics = 'kitty' | 'iterm' | 'truecolour' | 'colour256' | 'none'

type Environment = Readonly<Record<string, string | undefined>>

/** The part of a terminal's stream that drawing needs; `process.stdout` is one. */
export interface TerminalStream {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
  getColorDepth?(env?: Environment): number
  write(text: string): unknown
}

/** What a stream can show, from its kind and the environment that terminals set. */
export function terminalGraphics(stream: TerminalStream = process.stdout, env: Environment = process.env): TerminalGraphics {
  if (!stream.isTTY || env.TERM === 'dumb') return 'none'
  // Terminal multiplexers swallow both protocols unless told otherwise.
  const direct = !env.TMUX && !env.STY && !env.ZELLIJ && !/^(screen|tmux)/.test(env.TERM ?? '')
  if (direct && (env.KITTY_WINDOW_ID || /kitty|ghostty/.test(env.TERM ?? '') || env.TERM_PROGRAM === 'ghostty')) return 'kitty'
  if (direct && (/^(iTerm\.app|WezTerm)$/.test(env.TERM_PROGRAM ?? '') || env.LC_TERMINAL === 'iTerm2')) return 'iterm'
  if (env.NO_COLOR) return 'none'
  const depth = stream.getColorDepth?.(env) ?? 1
  return depth >= 24 ? 'truecolour' : depth >= 8 ? 'colour256' : 'none'
}

/**
 * Draws a picture in the terminal where that is possible, and says how it was drawn.
 *
 * @param columns most columns to take; the terminal's width, 80 at most, by default
 */
export async function drawInTerminal(
  picture: Picture,
  {
    stream = process.stdout as TerminalStream,
    env = process.env as Environment,
    columns = Math.min(stream.columns ?? 80, 80),
  } = {},
): Promise<TerminalGraphics> {
  const way = terminalGraphics(stream, env)
  if (way === 'kitty') stream.write(`${kitty(await encodePng(picture), columns)}\n`)
  else if (way === 'iterm') stream.write(`${iterm(await encodePng(picture), columns)}\n`)
  else if (way !== 'none') stream.write(halfBlocks(picture, columns, way, stream.rows))
  return way
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

/** Kitty graphics protocol: a PNG in base64, 4096 characters an escape. */
function kitty(png: Uint8Array, columns: number): string {
  const parts = base64(png).match(/.{1,4096}/g) ?? []
  return parts
    .map((part, i) => {
      const more = i < parts.length - 1 ? 1 : 0
      return `\x1b_G${i === 0 ? `a=T,f=100,q=2,c=${columns},` : ''}m=${more};${part}\x1b\\`
    })
    .join('')
}

/** iTerm2's inline pictures, which WezTerm shows as well. */
const iterm = (png: Uint8Array, columns: number) =>
  `\x1b]1337;File=inline=1;size=${png.length};width=${columns};preserveAspectRatio=1:${base64(png)}\x07`

/** Two pixels a character: the upper one is the colour of ▀, the lower one its background. */
function halfBlocks(picture: Picture, columns: number, way: 'truecolour' | 'colour256', rows = 50): string {
  const pixels = toRgb(pixelsOf(picture))
  const { H, W } = sizeOf(pixels)
  const shrink = Math.max(1, W / columns, H / (2 * Math.max(2, rows - 2)))
  const width = Math.max(1, Math.floor(W / shrink))
  const height = Math.max(1, Math.floor(H / shrink))
  /** Mean colour of the pixels that a cell's half covers. */
  const colour = (x: number, y: number) => {
    const sum = [0, 0, 0]
    const [top, bottom] = [Math.floor((y * H) / height), Math.max(Math.floor(((y + 1) * H) / height), 1)]
    const [left, right] = [Math.floor((x * W) / width), Math.max(Math.floor(((x + 1) * W) / width), 1)]
    for (let v = top; v < bottom; v++)
      for (let u = left; u < right; u++)
        for (let c = 0; c < 3; c++) sum[c] = (sum[c] as number) + (pixels.data[(v * W + u) * 3 + c] as number)
    const [r, g, b] = sum.map((s) => Math.round(s / ((bottom - top) * (right - left)))) as [number, number, number]
    if (way === 'truecolour') return `2;${r};${g};${b}`
    const cube = (level: number) => Math.round((level / 255) * 5)
    return `5;${16 + 36 * cube(r) + 6 * cube(g) + cube(b)}`
  }
  let out = ''
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x++)
      out += y + 1 < height ? `\x1b[38;${colour(x, y)};48;${colour(x, y + 1)}m▀` : `\x1b[0m\x1b[38;${colour(x, y)}m▀`
    out += '\x1b[0m\n'
  }
  return out
}
