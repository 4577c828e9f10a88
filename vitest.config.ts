import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const all = ['src/**/*.test.ts', 'tests/**/*.test.ts']
/** Tests that a mode of its own runs. */
const apart: Readonly<Record<string, readonly string[]>> = {
  slow: ['**/*.slow.test.ts'],
  faults: ['tests/faults/*.faults.test.ts'],
}
const cache = join(import.meta.dirname, '.cache/tests')

/** `npm test` runs the quick tests, `npm run test:slow` (mode `slow`) those named `*.slow.test.ts`, `npm run test:faults` the injected faults. */
export default defineConfig(({ mode }) => ({
  test: {
    pool: 'forks',
    ...(apart[mode]
      ? { include: [...apart[mode]], testTimeout: 600_000 }
      : { include: all, exclude: Object.values(apart).flat(), testTimeout: 30_000 }),
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
    passWithNoTests: mode in apart,
  },
}))
