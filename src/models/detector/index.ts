export { type Detected, type Detector, type DetectorConfig, detector, detectorConfig, detectorSchema } from './detector.ts'
