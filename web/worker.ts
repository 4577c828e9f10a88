import { listDevices, serve } from '../src/web/worker/index.ts'
import { train } from './train-task.ts'

serve({
  tasks: {
    train,
    devices: () => listDevices(),
  },
})
