import { ActionIcon, Badge, Button, EmptyState, Group, Progress, Skeleton, Stack, Text, Tooltip } from '@mantine/core'
import {
  IconArrowBarToUp,
  IconArrowDown,
  IconListCheck,
  IconPlayerPause,
  IconPlayerPlay,
  IconRefresh,
  IconX,
} from '@tabler/icons-react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { ask } from '../api/client.ts'
import { useJobAction } from '../api/jobs.ts'
import { failedQuery, jobKeys, queueStateQuery, recentQuery, waitingQuery } from '../api/queries.ts'
import type { Job } from '../api/types.ts'
import { phaseOf } from '../make/stage.tsx'
import { Notice } from '../parts/notice.tsx'
import { altOf } from '../parts/picture.tsx'

/** What runs, what waits in its order, and what failed. */
export function Queue() {
  const client = useQueryClient()
  const { data: state, error } = useQuery(queueStateQuery)
  const { data: recent = [] } = useQuery(recentQuery)
  const { data: waiting, isPending } = useQuery(waitingQuery)
  const { data: failed = [] } = useQuery(failedQuery)
  const running = recent.filter((job) => job.state === 'running')
  const turn = useMutation({
    mutationFn: (verb: 'pause' | 'resume') => ask(`/v1/queue/${verb}`, { method: 'POST' }),
    onSettled: () => client.invalidateQueries({ queryKey: jobKeys.queue }),
  })
  const empty = running.length === 0 && waiting?.length === 0 && failed.length === 0
  return (
    <Stack gap="lg" maw={860}>
      <Group justify="space-between">
        <h1>Queue</h1>
        {state && (
          <Button
            variant={state.paused ? 'filled' : 'default'}
            leftSection={state.paused ? <IconPlayerPlay size={16} /> : <IconPlayerPause size={16} />}
            loading={turn.isPending}
            onClick={() => turn.mutate(state.paused ? 'resume' : 'pause')}
          >
            {state.paused ? 'Go on' : 'Pause'}
          </Button>
        )}
      </Group>
      {state?.paused && (
        <Text size="sm" role="status">
          Paused: what runs goes on to its end, and nothing new begins.
        </Text>
      )}
      {error && <Notice title="The queue cannot be read" error={error} />}
      {turn.error && <Notice title="That was not done" error={turn.error} />}
      {isPending && <Skeleton h={120} aria-label="Loading" />}
      {empty && (
        <EmptyState
          className="teach"
          icon={<IconListCheck />}
          title="Nothing waits"
          description="What you make runs one after another. It is kept here until it is done, also where the server is stopped in between."
        />
      )}
      {running.length > 0 && <Section name="Runs" jobs={running} row={(job) => <Running key={job.id} job={job} />} />}
      {waiting && waiting.length > 0 && (
        <Section
          name={`Waits (${state?.counts.queued ?? waiting.length})`}
          jobs={waiting}
          row={(job, i) => <Waiting key={job.id} job={job} first={i === 0} last={i === waiting.length - 1} />}
        />
      )}
      {failed.length > 0 && <Section name="Failed" jobs={failed} row={(job) => <Failed key={job.id} job={job} />} />}
    </Stack>
  )
}

interface SectionProps {
  readonly name: string
  readonly jobs: readonly Job[]
  readonly row: (job: Job, i: number) => React.ReactNode
}

function Section({ name, jobs, row }: SectionProps) {
  return (
    <section aria-label={name}>
      <h2>{name}</h2>
      <Stack gap="xs" component="ul" className="plain">
        {jobs.map(row)}
      </Stack>
    </section>
  )
}

function Words({ job }: { readonly job: Job }) {
  return (
    <div className="words">
      <Text size="sm" truncate>
        {job.task === 'upscale' ? 'Enlarge a picture' : altOf(job.options.prompt)}
      </Text>
      <Text size="xs" c="dimmed">
        {job.model} · {job.state === 'failed' ? (job.error?.message ?? 'failed') : phaseOf(job)}
      </Text>
    </div>
  )
}

function Running({ job }: { readonly job: Job }) {
  const action = useJobAction()
  const { progress } = job
  return (
    <li className="waiting">
      <Group wrap="nowrap">
        <Words job={job} />
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconX size={14} />}
          onClick={() => action.mutate({ id: job.id, action: 'cancel' })}
        >
          Cancel
        </Button>
      </Group>
      <Progress
        mt={6}
        animated
        value={progress && progress.total > 0 ? (100 * progress.done) / progress.total : 0}
        aria-label="How far it is"
      />
    </li>
  )
}

function Waiting({ job, first, last }: { readonly job: Job; readonly first: boolean; readonly last: boolean }) {
  const client = useQueryClient()
  const action = useJobAction()
  const move = useMutation({
    mutationFn: (position: 'first' | 'last') => ask(`/v1/jobs/${job.id}`, { method: 'PATCH', json: { position } }),
    onSettled: () => client.invalidateQueries({ queryKey: jobKeys.queue }),
  })
  return (
    <li className="waiting">
      <Group wrap="nowrap" gap="xs">
        <Words job={job} />
        {job.priority !== 0 && <Badge variant="light">priority {job.priority}</Badge>}
        <Tooltip label="To the front">
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label="To the front"
            disabled={first}
            onClick={() => move.mutate('first')}
          >
            <IconArrowBarToUp size={18} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="To the end">
          <ActionIcon variant="subtle" color="gray" aria-label="To the end" disabled={last} onClick={() => move.mutate('last')}>
            <IconArrowDown size={18} />
          </ActionIcon>
        </Tooltip>
        <Button size="compact-sm" variant="subtle" color="gray" onClick={() => action.mutate({ id: job.id, action: 'cancel' })}>
          Cancel
        </Button>
      </Group>
    </li>
  )
}

function Failed({ job }: { readonly job: Job }) {
  const action = useJobAction()
  return (
    <li className="waiting">
      <Group wrap="nowrap" gap="xs">
        <Words job={job} />
        <Button
          size="compact-sm"
          variant="light"
          leftSection={<IconRefresh size={14} />}
          onClick={() => action.mutate({ id: job.id, action: 'retry' })}
        >
          Try again
        </Button>
        <Button size="compact-sm" variant="subtle" color="gray" onClick={() => action.mutate({ id: job.id, action: 'delete' })}>
          Remove
        </Button>
      </Group>
    </li>
  )
}
