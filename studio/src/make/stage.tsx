import { Badge, Button, EmptyState, Group, Progress, Skeleton, Stack, Text, UnstyledButton } from '@mantine/core'
import { IconClock, IconPhotoSpark, IconX } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { addressOf, useJobAction } from '../api/jobs.ts'
import { recentQuery } from '../api/queries.ts'
import type { Job } from '../api/types.ts'
import { Notice } from '../parts/notice.tsx'
import { altOf, Picture } from '../parts/picture.tsx'
import { change } from './draft.ts'
import { Result } from './result.tsx'

const examples = [
  'a red fox and a slice of pizza on a blue background',
  'a green frog, a (yellow:1.3) star',
  'a smiling sun on a purple background',
]

/** Pictures in the strip below. */
const STRIP = 40

interface Props {
  /** The job that is looked at; the newest unless given. */
  readonly shown: string | undefined
  readonly onShow: (id: string) => void
  readonly canPrompt: boolean
}

/** What is being made, or was made last, and a strip of what came before. */
export function Stage({ shown, onShow, canPrompt }: Props) {
  const { data: jobs, isPending } = useQuery(recentQuery)
  if (!jobs) return isPending ? <Skeleton className="frame" aria-label="Loading" /> : <Teach canPrompt={canPrompt} />
  const mine = jobs.filter(({ task, result }) => task === 'generate' && result?.texts === undefined)
  const job = mine.find(({ id }) => id === shown) ?? mine.find(({ state }) => state !== 'cancelled')
  const open = mine.filter(({ state, id }) => (state === 'queued' || state === 'running') && id !== job?.id).reverse()
  const made = mine.filter(({ result }) => result && result.files.length > 0).slice(0, STRIP)
  if (!job) return <Teach canPrompt={canPrompt} />
  return (
    <Stack gap="md">
      <Focus key={job.id} job={job} />
      {open.length > 0 && (
        <Stack gap="xs">
          {open.map((one) => (
            <Waiting key={one.id} job={one} onShow={() => onShow(one.id)} />
          ))}
        </Stack>
      )}
      {made.length > 0 && (
        <section aria-labelledby="before">
          <h2 id="before">Made before</h2>
          <ul className="strip">
            {made.map((one) => (
              <li key={one.id}>
                <UnstyledButton
                  aria-label={`Show: ${altOf(one.options.prompt)}`}
                  aria-current={one.id === job.id}
                  onClick={() => onShow(one.id)}
                >
                  {one.result?.files[0] && <Picture file={one.result.files[0]} alt="" />}
                </UnstyledButton>
                {(one.result?.files.length ?? 0) > 1 && (
                  <Badge className="count" aria-hidden>
                    {one.result?.files.length}
                  </Badge>
                )}
              </li>
            ))}
          </ul>
        </section>
      )}
    </Stack>
  )
}

function Focus({ job }: { readonly job: Job }) {
  const action = useJobAction()
  switch (job.state) {
    case 'completed':
      return <Result job={job} />
    case 'failed':
      return (
        <Stack gap="sm">
          <Notice
            title="This picture was not made"
            error={job.error ?? { fault: '', message: 'It failed.' }}
            onRetry={() => action.mutate({ id: job.id, action: 'retry' })}
            busy={action.isPending}
          />
          <Text size="sm" c="dimmed" className="wrap">
            {altOf(job.options.prompt)}
          </Text>
        </Stack>
      )
    case 'cancelled':
      return (
        <EmptyState icon={<IconX />} title="Cancelled" description={altOf(job.options.prompt)} className="teach">
          <Button variant="light" onClick={() => action.mutate({ id: job.id, action: 'retry' })}>
            Make it after all
          </Button>
        </EmptyState>
      )
    default:
      return <Running job={job} />
  }
}

function Running({ job }: { readonly job: Job }) {
  const action = useJobAction()
  const { progress, state } = job
  const preview = progress?.preview
  const share = progress && progress.total > 0 ? (100 * progress.done) / progress.total : 0
  return (
    <Stack gap="sm">
      {preview ? (
        <div className="frame">
          <img src={addressOf(preview)} alt="How far it is" width={preview.width} height={preview.height} />
        </div>
      ) : (
        <Skeleton className="frame" />
      )}
      <Progress value={share} animated={state === 'running'} striped={state === 'running'} size="lg" aria-label="How far it is" />
      <Group justify="space-between" wrap="nowrap">
        <Text size="sm" role="status">
          {phaseOf(job)}
        </Text>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconX size={14} />}
          loading={action.isPending}
          onClick={() => action.mutate({ id: job.id, action: 'cancel' })}
        >
          Cancel
        </Button>
      </Group>
    </Stack>
  )
}

function Waiting({ job, onShow }: { readonly job: Job; readonly onShow: () => void }) {
  const action = useJobAction()
  return (
    <Group className="waiting" wrap="nowrap" gap="xs">
      <IconClock size={16} aria-hidden />
      <UnstyledButton onClick={onShow} flex={1} miw={0}>
        <Text size="sm" truncate>
          {altOf(job.options.prompt)}
        </Text>
      </UnstyledButton>
      <Text size="xs" c="dimmed" style={{ whiteSpace: 'nowrap' }}>
        {phaseOf(job)}
      </Text>
      <Button size="compact-xs" variant="subtle" color="gray" onClick={() => action.mutate({ id: job.id, action: 'cancel' })}>
        Cancel
      </Button>
    </Group>
  )
}

/** How far a job is, in words. */
export function phaseOf({ state, progress, options }: Job): string {
  if (state === 'queued') return 'Waiting for its turn'
  if (!progress || progress.total === 0) return 'Opening the model'
  const several = typeof options.num === 'number' && options.num > 1
  const which = several ? `picture ${progress.picture + 1} of ${options.num} · ` : ''
  return `${which}step ${progress.done} of ${progress.total}${progress.eta === undefined ? '' : ` · ${left(progress.eta)}`}`
}

/** Seconds in words. */
export function left(seconds: number): string {
  if (seconds < 1) return 'nearly done'
  if (seconds < 90) return `about ${Math.ceil(seconds)} s left`
  if (seconds < 5400) return `about ${Math.ceil(seconds / 60)} min left`
  return `about ${(seconds / 3600).toFixed(1)} h left`
}

function Teach({ canPrompt }: { readonly canPrompt: boolean }) {
  return (
    <EmptyState
      className="teach"
      icon={<IconPhotoSpark />}
      variant="light"
      title="Nothing made yet"
      description={
        canPrompt
          ? 'Write what the picture shows, and press Make. The bundled model knows stickers: animals, food, weather, on a background of a colour.'
          : 'This model needs no prompt: press Make.'
      }
    >
      {canPrompt && (
        <Stack gap="xs">
          {examples.map((one) => (
            <Button
              key={one}
              variant="light"
              size="compact-md"
              h="auto"
              py={4}
              styles={{ label: { whiteSpace: 'normal' } }}
              onClick={() => change({ prompt: one })}
            >
              {one}
            </Button>
          ))}
        </Stack>
      )}
    </EmptyState>
  )
}
