import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useRef } from 'react'
import type { Cloud } from './plane.ts'

/** The plane that is shown: [−EDGE, EDGE]². */
const EDGE = 3

interface Props {
  readonly cloud: Cloud | undefined
  /** Where each point came from, or would go: lines to the points. */
  readonly lines?: readonly Cloud[] | undefined
  readonly colour: 'set' | 'noise'
  /** What a reader who does not see it is told. */
  readonly label: string
}

const colours = {
  light: { set: '#2563eb', noise: '#c2410c', line: 'rgba(90, 75, 219, 0.22)' },
  dark: { set: '#7aa7ff', noise: '#ff9d6b', line: 'rgba(190, 180, 255, 0.25)' },
}

/** Points of the plane, and lines behind them. */
export function Plane({ cloud, lines = [], colour, label }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const scheme = useComputedColorScheme('light')
  useEffect(() => {
    const context = canvas.current?.getContext('2d')
    if (!context || !cloud) return
    const side = context.canvas.width
    const at = (v: number) => ((v + EDGE) / (2 * EDGE)) * side
    context.clearRect(0, 0, side, side)
    context.strokeStyle = colours[scheme].line
    context.lineWidth = 1.5
    context.beginPath()
    for (let i = 0; i < cloud.length; i += 2) {
      const stops = [...lines, cloud]
      for (const [k, stop] of stops.entries()) {
        const [x, y] = [at(stop[i] ?? 0), side - at(stop[i + 1] ?? 0)]
        if (k === 0) context.moveTo(x, y)
        else context.lineTo(x, y)
      }
    }
    context.stroke()
    context.fillStyle = colours[scheme][colour]
    for (let i = 0; i < cloud.length; i += 2) {
      context.beginPath()
      context.arc(at(cloud[i] ?? 0), side - at(cloud[i + 1] ?? 0), 3.2, 0, 2 * Math.PI)
      context.fill()
    }
  }, [cloud, lines, colour, scheme])
  return <canvas ref={canvas} className="plane" width={640} height={640} role="img" aria-label={label} />
}
