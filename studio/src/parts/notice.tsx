import { Alert, Button, Group } from '@mantine/core'
import { IconAlertTriangle } from '@tabler/icons-react'
import { Link } from 'wouter'
import { ApiError, GoneError } from '../api/client.ts'

/** What to do about a fault, beside trying again. */
const remedies: Readonly<Record<string, string>> = {
  queue_full: 'As many jobs wait as may. Wait for one to end, or cancel one.',
  rate_limit_exceeded: 'You have asked as often as you may in a minute. Wait a little.',
  model_not_found: 'The model is gone from the server’s folders. Choose another, or put it back.',
  out_of_memory: 'The machine’s memory does not hold it. Make smaller pictures, or fewer at once.',
  storage: 'The disk is full. Delete pictures in the gallery, or make room on the disk.',
  not_finite: 'The numbers ran out of range. Lower the guidance, or take another sampler.',
  worker_killed: 'What ran the model was ended from outside. Try again; where it happens again, the memory may be too small.',
  draining: 'The server is about to stop. Try again when it is back.',
  deadline: 'It took longer than it may. Take fewer steps or smaller pictures.',
}

interface Props {
  readonly title: string
  readonly error: Error | { readonly fault: string; readonly message: string }
  readonly onRetry?: (() => void) | undefined
  readonly busy?: boolean
}

/** A fault: what went wrong, what helps, and a way on. */
export function Notice({ title, error, onRetry, busy = false }: Props) {
  if (error instanceof GoneError) return null // The banner above the page says so.
  const code = error instanceof ApiError ? error.code : 'fault' in error ? error.fault : ''
  return (
    <Alert color="red" variant="light" title={title} icon={<IconAlertTriangle />} role="alert">
      <div className="wrap">{error.message}</div>
      {remedies[code] && <div>{remedies[code]}</div>}
      <Group mt="sm" gap="xs">
        {onRetry && (
          <Button size="compact-sm" variant="filled" color="red.8" loading={busy} onClick={onRetry}>
            Try again
          </Button>
        )}
        {code === 'queue_full' && (
          <Button size="compact-sm" variant="default" component={Link} href="/queue">
            See the queue
          </Button>
        )}
        {code === 'storage' && (
          <Button size="compact-sm" variant="default" component={Link} href="/gallery">
            Open the gallery
          </Button>
        )}
      </Group>
    </Alert>
  )
}
