import { Button, Group, NumberInput, SegmentedControl, Select, Slider, Stack, Switch, Text } from '@mantine/core'
import { IconDice, IconPlayerPause, IconPlayerPlay } from '@tabler/icons-react'
import { useEffect, useMemo, useState } from 'react'
import { type CurveName, curveNames } from '../../../src/cli/demo/curves.ts'
import { Plane } from './canvas.tsx'
import { forwardOf, type Reverse, reverseOf, samplerNames } from './plane.ts'

const POINTS = 500
/** Milliseconds of a whole run that is played. */
const PLAY = 4000

const setNames: Readonly<Record<CurveName, string>> = { 'swiss-roll': 'Swiss roll', moons: 'Two moons', rings: 'Rings' }

/** What diffusion is, on points of the plane, where the best denoiser is known: nothing here was trained. */
export function Theory() {
  const [set, setSet] = useState<CurveName>('moons')
  const [seed, setSeed] = useState(0)
  return (
    <Stack gap="xl" className="lesson">
      <Group justify="space-between">
        <h1>Theory</h1>
        <Group>
          <SegmentedControl
            aria-label="Set of points"
            value={set}
            onChange={(value) => setSet(value as CurveName)}
            data={curveNames.map((value) => ({ value, label: setNames[value] }))}
          />
          <Button variant="default" leftSection={<IconDice size={16} />} onClick={() => setSeed((now) => now + 1)}>
            Other noise
          </Button>
        </Group>
      </Group>
      <Text size="sm">
        A model of pictures knows where pictures lie among all arrays of numbers. Here are two numbers instead of a million, so
        that it can be seen: the points are the data, and the best denoiser is computed, not learnt.
      </Text>
      <Forward set={set} seed={seed} />
      <Back set={set} seed={seed} />
    </Stack>
  )
}

interface Given {
  readonly set: CurveName
  readonly seed: number
}

function Forward({ set, seed }: Given) {
  const [at, setAt] = useState(20)
  const [arrows, setArrows] = useState(true)
  const { sigmas, clouds, denoised } = useMemo(() => forwardOf(set, POINTS, seed), [set, seed])
  const sigma = sigmas[at] ?? 0
  const target = denoised[at]
  const lines = useMemo(() => (arrows && target ? [target] : []), [arrows, target])
  return (
    <section aria-labelledby="forward">
      <h2 id="forward">From data to noise</h2>
      <Text size="sm" mb="sm">
        Each point x₀ is mixed with noise ε of its own: x = αx₀ + σε, with α² + σ² = 1. Nothing is left of the data where σ is 1.
        The lines lead to where the best denoiser takes each point to come from, the mean of all data that could have become it.
        With much noise that is the middle of everything; with little it is the place itself. With D(x) for that place, (αD(x) −
        x)/σ² is the score: the direction in which the noisy data are denser.
      </Text>
      <div className="panels">
        <Plane cloud={clouds[at]} lines={lines} colour="set" label={`Data with noise of σ = ${sigma.toFixed(2)}`} />
        <Stack justify="center">
          <Text size="lg">σ = {sigma.toFixed(2)}</Text>
          <Text size="sm" c="dimmed">
            α = {Math.sqrt(1 - sigma * sigma).toFixed(2)}, {POINTS} points
          </Text>
          <Slider value={at} onChange={setAt} min={0} max={sigmas.length - 1} label={null} thumbLabel="Amount of noise" />
          <Switch
            label="What the denoiser makes of them"
            checked={arrows}
            onChange={({ currentTarget }) => setArrows(currentTarget.checked)}
          />
        </Stack>
      </div>
    </section>
  )
}

function Back({ set, seed }: Given) {
  const [steps, setSteps] = useState(12)
  const [moment, setMoment] = useState(1)
  const [playing, setPlaying] = useState(false)
  const [trails, setTrails] = useState(true)
  useEffect(() => {
    if (!playing) return
    const began = performance.now()
    let frame = requestAnimationFrame(function next() {
      const share = Math.min(1, (performance.now() - began) / PLAY)
      setMoment(share)
      if (share < 1) frame = requestAnimationFrame(next)
      else setPlaying(false)
    })
    return () => cancelAnimationFrame(frame)
  }, [playing])
  return (
    <section aria-labelledby="back">
      <h2 id="back">And back</h2>
      <Text size="sm" mb="sm">
        A sampler begins with noise alone, asks the denoiser, goes a part of the way, and asks again. Samplers of the ODE always
        go the same way from the same noise; the others add a little fresh noise at each step, which mends what went wrong before.
        Fewer evaluations are faster, and miss more: the energy distance says how far the points are from the data.
      </Text>
      <Group mb="sm" align="flex-end">
        <NumberInput
          label="Steps"
          value={steps}
          onChange={(value) => setSteps(Math.min(100, Math.max(1, Math.round(Number(value) || 1))))}
          min={1}
          max={100}
          w={110}
        />
        <Button
          leftSection={playing ? <IconPlayerPause size={16} /> : <IconPlayerPlay size={16} />}
          onClick={() => setPlaying(!playing)}
        >
          {playing ? 'Stop' : 'Play'}
        </Button>
        <Switch label="Paths" checked={trails} onChange={({ currentTarget }) => setTrails(currentTarget.checked)} />
        <Slider
          flex={1}
          miw={160}
          value={moment}
          onChange={setMoment}
          min={0}
          max={1}
          step={0.001}
          label={null}
          thumbLabel="How far samplers are"
        />
      </Group>
      <div className="panels">
        {['Euler = DDIM', 'DDPM, ancestral'].map((first) => (
          <Run key={first} set={set} seed={seed} first={first} steps={steps} moment={moment} trails={trails} />
        ))}
      </div>
    </section>
  )
}

interface RunProps extends Given {
  readonly first: string
  readonly steps: number
  /** 0 to 1. */
  readonly moment: number
  readonly trails: boolean
}

function Run({ set, seed, first, steps, moment, trails }: RunProps) {
  const [sampler, setSampler] = useState(first)
  const [run, setRun] = useState<Reverse>()
  useEffect(() => {
    let over = false
    void reverseOf(set, { sampler, steps, points: POINTS, seed }).then((made) => {
      if (!over) setRun(made)
    })
    return () => {
      over = true
    }
  }, [set, sampler, steps, seed])
  const at = run ? Math.round(moment * (run.clouds.length - 1)) : 0
  const lines = useMemo(() => (trails && run ? run.clouds.slice(Math.max(0, at - 12), at) : []), [trails, run, at])
  return (
    <Stack gap="xs">
      <Select
        label="Sampler"
        data={[...samplerNames]}
        value={sampler}
        onChange={(value) => setSampler(value ?? first)}
        allowDeselect={false}
      />
      <Plane cloud={run?.clouds[at]} lines={lines} colour="noise" label={`Points by ${sampler} after ${at} of ${steps} steps`} />
      <Text size="sm" role="status">
        {run ? `${run.evaluations} evaluations · energy distance ${run.distance.toFixed(4)}` : 'computing'}
      </Text>
    </Stack>
  )
}
