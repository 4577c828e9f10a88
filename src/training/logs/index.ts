export { type CsvLog, csvLog } from './csv.ts'
export { duration, type Progress, type ProgressOptions, type ProgressStream, progress } from './progress.ts'
export { type TensorBoardLog, tensorBoardLog } from './tensorboard.ts'
