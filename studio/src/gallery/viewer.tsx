import { ActionIcon, Button, Group, Modal, Stack, Table, Text, Tooltip } from '@mantine/core'
import { useHotkeys } from '@mantine/hooks'
import {
  IconArrowBackUp,
  IconArrowLeft,
  IconArrowRight,
  IconDownload,
  IconHeart,
  IconHeartFilled,
  IconLayersDifference,
  IconTrash,
} from '@tabler/icons-react'
import { useLocation } from 'wouter'
import { addressOf, fileName } from '../api/jobs.ts'
import { recallAll } from '../make/draft.ts'
import { altOf, Picture } from '../parts/picture.tsx'
import { useStore } from '../store.ts'
import { favourites, type Item, toggleFavourite } from './items.ts'

interface Props {
  readonly item: Item
  readonly onClose: () => void
  readonly onStep: (by: number) => void
  readonly onCompare: () => void
  readonly onDelete: () => void
}

/** One picture, what it was made of, and what can be done with it. */
export function Viewer({ item, onClose, onStep, onCompare, onDelete }: Props) {
  const { job, file, key } = item
  const [, go] = useLocation()
  const liked = useStore(favourites).includes(key)
  useHotkeys([
    ['ArrowLeft', () => onStep(-1)],
    ['ArrowRight', () => onStep(1)],
    ['Delete', onDelete],
    ['F', () => toggleFavourite(key)],
  ])
  const alt = altOf(file.prompt ?? job.options.prompt)
  const rows = Object.entries(job.result?.settings ?? {}).filter(([, value]) => value !== undefined && value !== '')
  return (
    <Modal opened onClose={onClose} size="auto" title={<span className="wrap">{alt}</span>} centered>
      <div className="viewer">
        <div className="frame">
          <Picture file={file} alt={alt} />
        </div>
        <Stack gap="sm">
          <Group gap="xs">
            <Arrow label="The one before" icon={<IconArrowLeft size={18} />} onClick={() => onStep(-1)} />
            <Arrow label="The next one" icon={<IconArrowRight size={18} />} onClick={() => onStep(1)} />
            <Arrow
              label={liked ? 'No favourite any more' : 'A favourite'}
              icon={liked ? <IconHeartFilled size={18} /> : <IconHeart size={18} />}
              onClick={() => toggleFavourite(key)}
            />
            <Arrow label="Compare with another" icon={<IconLayersDifference size={18} />} onClick={onCompare} />
            <Arrow label="Delete" icon={<IconTrash size={18} />} onClick={onDelete} />
          </Group>
          <Group gap="xs">
            <Button
              variant="default"
              leftSection={<IconArrowBackUp size={16} />}
              onClick={() => {
                recallAll(job, file.seed)
                go('/make')
              }}
            >
              Use all
            </Button>
            <Button component="a" href={addressOf(file)} download={fileName(job, file)} leftSection={<IconDownload size={16} />}>
              Save
            </Button>
          </Group>
          <Table withRowBorders={false} verticalSpacing={2}>
            <Table.Tbody>
              {[
                ['Made', new Date(job.created).toLocaleString()],
                ['Model', job.model],
                ...(file.seed === undefined ? [] : [['Seed', file.seed]]),
                ...rows,
              ].map(([name, value]) => (
                <Table.Tr key={String(name)}>
                  <Table.Th>{name}</Table.Th>
                  <Table.Td className="wrap">{String(value)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
          <Text size="xs" c="dimmed">
            The settings stand in the saved file too.
          </Text>
        </Stack>
      </div>
    </Modal>
  )
}

function Arrow({
  label,
  icon,
  onClick,
}: {
  readonly label: string
  readonly icon: React.ReactNode
  readonly onClick: () => void
}) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="default" size="lg" aria-label={label} onClick={onClick}>
        {icon}
      </ActionIcon>
    </Tooltip>
  )
}
