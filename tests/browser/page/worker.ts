import { serve } from '../../../src/web/worker/index.ts'
import { lostGpu, tooLarge } from './limits.ts'
import { train2d } from './train-2d.ts'

serve({ tasks: { train2d, lostGpu, tooLarge } })
