import { ActionIcon, Button, Group, Stack, Text, Tooltip, UnstyledButton } from '@mantine/core'
import { IconArrowBackUp, IconDownload, IconPlant } from '@tabler/icons-react'
import { useState } from 'react'
import { addressOf, fileName } from '../api/jobs.ts'
import type { Job } from '../api/types.ts'
import { altOf, Picture } from '../parts/picture.tsx'
import { change, recallAll, setOption } from './draft.ts'

/** What a job made: one large, the others beside it. */
export function Result({ job }: { readonly job: Job }) {
  const [at, setAt] = useState(0)
  const files = job.result?.files ?? []
  const file = files[at] ?? files[0]
  if (!file) return <Text c="dimmed">This job made no pictures.</Text>
  const alt = altOf(file.prompt ?? job.options.prompt)
  const seed = file.seed
  return (
    <Stack gap="sm">
      <div className="frame">
        <Picture file={file} alt={alt} />
      </div>
      {files.length > 1 && (
        <ul className="strip" aria-label="Of this run">
          {files.map((one, i) => (
            <li key={`${one.file} ${one.seed}`}>
              <UnstyledButton aria-label={`Picture ${i + 1} of ${files.length}`} aria-current={i === at} onClick={() => setAt(i)}>
                <Picture file={one} alt="" />
              </UnstyledButton>
            </li>
          ))}
        </ul>
      )}
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <div>
          <Text size="sm" className="wrap">
            {alt}
          </Text>
          <Text size="xs" c="dimmed">
            {[
              job.model,
              `${file.width} × ${file.height}`,
              seed !== undefined && `seed ${seed}`,
              job.result && `${job.result.seconds.run.toFixed(1)} s`,
            ]
              .filter(Boolean)
              .join(' · ')}
          </Text>
          {job.result?.warnings?.map((warning) => (
            <Text key={warning} size="xs" c="dimmed">
              {warning}
            </Text>
          ))}
        </div>
        <Group gap="xs" wrap="nowrap">
          <Tooltip label="Use all of its settings">
            <ActionIcon variant="default" size="lg" aria-label="Use all of its settings" onClick={() => recallAll(job)}>
              <IconArrowBackUp size={18} />
            </ActionIcon>
          </Tooltip>
          {seed !== undefined && (
            <Tooltip label="Keep its seed">
              <ActionIcon
                variant="default"
                size="lg"
                aria-label="Keep its seed"
                onClick={() => {
                  setOption(job.model, 'seed', seed)
                  change({ seedLocked: true })
                }}
              >
                <IconPlant size={18} />
              </ActionIcon>
            </Tooltip>
          )}
          <Button component="a" href={addressOf(file)} download={fileName(job, file)} leftSection={<IconDownload size={16} />}>
            Save
          </Button>
        </Group>
      </Group>
    </Stack>
  )
}
