import { allCases } from './suite.ts'
import { describeOnWebgpu } from './webgpu-suite.ts'

describeOnWebgpu(allCases)
