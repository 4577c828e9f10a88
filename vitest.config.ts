import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const all = ['src/**/*.test.ts', 'tests/**/*.test.ts']
const slow = ['**/*.slow.test.ts']
const cache = join(import.meta.dirname, '.cache/tests')

/** `npm test` runs the quick tests, `npm run test:slow` (mode `slow`) those named `*.slow.test.ts`. */
export default defineConfig(({ mode }) => ({
  test: {
    pool: 'forks',
    ...(mode === 'slow' ? { include: slow, testTimeout: 600_000 } : { include: all, exclude: slow, testTimeout: 30_000 }),
    hookTimeout: 60_000,
    // A file of tests a core, ONNX Runtime on one: its threads would wait for each other longer than they work.
    maxWorkers: availableParallelism(),
    env: {
      // Tests that load ONNX Runtime themselves leave no telemetry either.
      ORT_DISABLE_TELEMETRY: '1',
      LANGEVIN_THREADS: '1',
      // Nothing goes into the user's folders, nor comes from them. The folder stays, so that icons are drawn once.
      LANGEVIN_CACHE: cache,
      HF_HOME: join(cache, 'huggingface'),
    },
    passWithNoTests: mode === 'slow',
  },
}))
