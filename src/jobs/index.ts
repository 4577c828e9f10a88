export { faultOf, IdempotencyError, JobError, type JobFault, QueueError, QueueFullError } from './errors.ts'
export {
  type FileRef,
  fileRef,
  type Job,
  type JobProgress,
  type JobResult,
  type JobSpec,
  type JobState,
  jobSpec,
  jobStates,
  type MadeFile,
  type OutputSpec,
} from './job.ts'
export { Catalogue, type CatalogueModel, type DescribedModel } from './models/catalogue.ts'
export { checkOptions, optionsSchema, type PictureRef } from './models/options.ts'
export { connect } from './queue/connect.ts'
export type { JobEvent } from './queue/events.ts'
export { JobQueue } from './queue/queue.ts'
export { dataFolder, openService, openWorker, type Service, type ServiceSettings } from './service.ts'
export { openStore } from './store/open.ts'
export type { Store, StoredFile } from './store/store.ts'
export { JobWorker, type WorkerEvent } from './worker.ts'
