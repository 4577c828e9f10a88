import { z } from 'zod'
import { defineCommand } from './command.ts'
import { serving } from './serve/options.ts'
import { runServer } from './serve/run.ts'

const options = z.object(serving)

export const serve = defineCommand({
  name: 'serve',
  summary: 'models behind HTTP: OpenAI’s and others’ interfaces, a queue that survives',
  description:
    'Answers OpenAI’s clients for pictures (/v1/images), those of AUTOMATIC1111’s web UI (/sdapi/v1) and of Hugging Face, and its own /v1/jobs with progress. What is accepted is kept in a database within --data until it is done: also over a crash. Models run in processes of their own. /openapi.json lists every route.',
  options,
  examples: [
    ['langevin serve', 'the bundled models, on this machine alone'],
    ['langevin serve --models ~/models --key "$(openssl rand -hex 16)" --host 0.0.0.0', 'a folder of models, for the network'],
    [
      'langevin serve --workers 0 --queue postgres://queue/langevin --store s3://pictures',
      'work is left to langevin worker elsewhere',
    ],
  ],
  run: (given, io) => runServer(given, io),
})
