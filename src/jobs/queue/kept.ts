import type { Job as BullJob } from 'bullmq'
import { faultOf } from '../errors.ts'
import type { Job, JobProgress, JobResult, JobSpec, JobState } from '../job.ts'

/** What BullMQ keeps of a job. */
export interface Kept {
  readonly spec: JobSpec
  readonly cancelled?: boolean
  /** Of a cancelled one, which was added anew. */
  readonly created?: number
}

/** A delay that never ends, in milliseconds: ten years. */
export const TOMBSTONE = 10 * 365 * 24 * 3600 * 1000

/** BullMQ's priority, where less is sooner, of ours, −100 to 100 where more is sooner. */
export const rankOf = (priority: number): number => 1001 - Math.round(10 * Math.max(-100, Math.min(100, priority)) + 0)

const priorityOf = (rank: number): number => (1001 - rank) / 10

/** @param state BullMQ's, or ours where it is known */
export function jobOf(job: BullJob<Kept>, state: string): Job {
  const { spec, cancelled, created } = job.data
  const error = faultOf(job.failedReason)
  const progress = job.progress as JobProgress | number | undefined
  return {
    id: job.id as string,
    state: stateOf(state, cancelled === true || error?.fault === 'cancelled'),
    spec,
    priority: priorityOf(job.priority ?? rankOf(0)),
    ...(typeof progress === 'object' && progress !== null && 'total' in progress && { progress }),
    ...(job.returnvalue && { result: job.returnvalue as JobResult }),
    ...(error && {
      error: { fault: error.fault, message: error.message, ...(error.param !== undefined && { param: error.param }) },
    }),
    created: created ?? job.timestamp,
    ...(job.processedOn && { started: job.processedOn }),
    ...(job.finishedOn && { ended: job.finishedOn }),
    attempts: job.attemptsStarted ?? 0,
    ...(job.processedBy && { worker: job.processedBy }),
  }
}

function stateOf(state: string, cancelled: boolean): JobState {
  switch (state) {
    case 'completed':
      return 'completed'
    case 'failed':
      return cancelled ? 'cancelled' : 'failed'
    case 'active':
    case 'running':
      return 'running'
    case 'delayed':
    case 'cancelled':
      return 'cancelled'
    default:
      return 'queued'
  }
}
