import { Alert, Button, EmptyState, Group, Skeleton, Stack, Switch, Text, TextInput, UnstyledButton } from '@mantine/core'
import { useDebouncedValue, useElementSize } from '@mantine/hooks'
import { notifications } from '@mantine/notifications'
import { IconHeartFilled, IconPhoto, IconSearch } from '@tabler/icons-react'
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { useWindowVirtualizer } from '@tanstack/react-virtual'
import { type DragEvent, useEffect, useMemo, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { ask } from '../api/client.ts'
import { galleryQuery } from '../api/queries.ts'
import { recallAll } from '../make/draft.ts'
import { Notice } from '../parts/notice.tsx'
import { altOf, Picture } from '../parts/picture.tsx'
import { useStore } from '../store.ts'
import { Compare } from './compare.tsx'
import { favourites, type Item, itemsOf, leaving, matches } from './items.ts'
import { settingsIn } from './settings.ts'
import { Viewer } from './viewer.tsx'

/** Pixels of a picture's side at least, with the gap behind it. */
const [SIDE, GAP] = [150, 8]
/** Milliseconds in which a deletion can be undone. */
const UNDO = 7000

/** All that was made. */
export function Gallery() {
  const { data, error, isPending, hasNextPage, fetchNextPage, isFetchingNextPage, refetch } = useInfiniteQuery(galleryQuery)
  const client = useQueryClient()
  const [search, setSearch] = useState('')
  const [words] = useDebouncedValue(search, 150)
  const [onlyLiked, setOnlyLiked] = useState(false)
  const [shown, setShown] = useState<string>()
  const [compared, setCompared] = useState<{ readonly left: Item; readonly right?: Item }>()
  const liked = useStore(favourites)
  const gone = useStore(leaving)
  const all = useMemo(() => itemsOf(data?.pages.flat() ?? []), [data])
  const items = useMemo(
    () => all.filter((item) => !gone.includes(item.job.id) && (!onlyLiked || liked.includes(item.key)) && matches(item, words)),
    [all, gone, onlyLiked, liked, words],
  )
  // A search looks through all that there is, not what was scrolled to.
  useEffect(() => {
    if ((words !== '' || onlyLiked) && hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [words, onlyLiked, hasNextPage, isFetchingNextPage, fetchNextPage])
  const at = items.findIndex(({ key }) => key === shown)
  const item = items[at]

  const remove = ({ job }: Item) => {
    leaving.set((now) => [...now, job.id])
    setShown(undefined)
    const timer = setTimeout(() => {
      void ask(`/v1/jobs/${job.id}`, { method: 'DELETE' }).finally(() => {
        void client.invalidateQueries({ queryKey: ['jobs'] })
        notifications.hide(job.id)
      })
    }, UNDO)
    notifications.show({
      id: job.id,
      autoClose: UNDO,
      message: (
        <Group justify="space-between">
          <Text size="sm">Deleted{(job.result?.files.length ?? 0) > 1 ? ', with the others of its run' : ''}</Text>
          <Button
            size="compact-sm"
            variant="light"
            onClick={() => {
              clearTimeout(timer)
              leaving.set((now) => now.filter((id) => id !== job.id))
              notifications.hide(job.id)
            }}
          >
            Undo
          </Button>
        </Group>
      ),
    })
  }
  const choose = (one: Item) => {
    if (compared && !compared.right) setCompared({ ...compared, right: one })
    else setShown(one.key)
  }

  return (
    <Recall>
      <Stack gap="md">
        <Group justify="space-between">
          <h1>Gallery</h1>
          <Group>
            <Switch
              label="Favourites"
              checked={onlyLiked}
              onChange={({ currentTarget }) => setOnlyLiked(currentTarget.checked)}
            />
            <TextInput
              aria-label="Search"
              placeholder="Search prompts, models, seeds"
              leftSection={<IconSearch size={16} />}
              value={search}
              onChange={({ currentTarget }) => setSearch(currentTarget.value)}
            />
          </Group>
        </Group>
        {error && <Notice title="The gallery cannot be read" error={error} onRetry={() => void refetch()} />}
        {compared && !compared.right && (
          <Alert title="Choose the picture to compare with" withCloseButton onClose={() => setCompared(undefined)} />
        )}
        {isPending && <Skeleton h={320} aria-label="Loading" />}
        {!isPending && items.length === 0 && <Empty some={all.length > 0} />}
        {items.length > 0 && (
          <Grid items={items} onChoose={choose} onEnd={() => hasNextPage && !isFetchingNextPage && void fetchNextPage()} />
        )}
        <Text size="xs" c="dimmed">
          Drop a picture here, of this studio, AUTOMATIC1111 or another that writes its settings into its files, to use them.
        </Text>
        {item && !compared && (
          <Viewer
            item={item}
            onClose={() => setShown(undefined)}
            onStep={(by) => setShown(items[Math.min(Math.max(at + by, 0), items.length - 1)]?.key)}
            onCompare={() => {
              setCompared({ left: item })
              setShown(undefined)
            }}
            onDelete={() => remove(item)}
          />
        )}
        {compared?.right && <Compare left={compared.left} right={compared.right} onClose={() => setCompared(undefined)} />}
      </Stack>
    </Recall>
  )
}

function Empty({ some }: { readonly some: boolean }) {
  return some ? (
    <EmptyState
      className="teach"
      icon={<IconSearch />}
      title="Nothing like that"
      description="No picture has all of these words."
    />
  ) : (
    <EmptyState
      className="teach"
      icon={<IconPhoto />}
      title="No pictures yet"
      description="What you make is kept here, with all that it was made of."
    >
      <Button component={Link} href="/make">
        Make one
      </Button>
    </EmptyState>
  )
}

interface GridProps {
  readonly items: readonly Item[]
  readonly onChoose: (item: Item) => void
  readonly onEnd: () => void
}

/** Rows of pictures, of which those in sight are in the page. */
function Grid({ items, onChoose, onEnd }: GridProps) {
  const { ref, width } = useElementSize<HTMLUListElement>()
  const liked = useStore(favourites)
  const columns = Math.max(2, Math.floor((width + GAP) / (SIDE + GAP)))
  const side = Math.max(1, (width - GAP * (columns - 1)) / columns)
  const count = Math.ceil(items.length / columns)
  const rows = useWindowVirtualizer({ count, estimateSize: () => side + GAP, overscan: 4 })
  // biome-ignore lint/correctness/useExhaustiveDependencies: rows are as high as pictures are wide
  useEffect(() => rows.measure(), [rows, side])
  const seen = rows.getVirtualItems()
  const last = seen.at(-1)?.index ?? 0
  useEffect(() => {
    if (last >= count - 2) onEnd()
  }, [last, count, onEnd])
  return (
    <ul ref={ref} className="grid" style={{ height: rows.getTotalSize() }}>
      {width > 0 &&
        seen.flatMap((row) =>
          items.slice(row.index * columns, (row.index + 1) * columns).map((item, i) => (
            <li
              key={item.key}
              style={{ width: side, height: side, transform: `translate(${i * (side + GAP)}px, ${row.start}px)` }}
            >
              <UnstyledButton
                aria-label={`Look at: ${altOf(item.file.prompt ?? item.job.options.prompt)}`}
                onClick={() => onChoose(item)}
              >
                <Picture file={item.file} alt="" />
              </UnstyledButton>
              {liked.includes(item.key) && <IconHeartFilled className="liked" size={18} aria-label="A favourite" />}
            </li>
          )),
        )}
    </ul>
  )
}

/** Reads the settings of a picture that is dropped, and puts them into the form. */
function Recall({ children }: { readonly children: React.ReactNode }) {
  const [, go] = useLocation()
  const [fault, setFault] = useState<string>()
  const drop = async (event: DragEvent) => {
    event.preventDefault()
    const [file] = event.dataTransfer.files
    if (!file) return
    try {
      const bytes = new Uint8Array(await file.arrayBuffer())
      let binary = ''
      for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000))
      const { info } = await ask<{ info: string }>('/sdapi/v1/png-info', { json: { image: btoa(binary) } })
      const settings = settingsIn(info)
      if (!settings) return setFault(`${file.name} has no settings in it.`)
      recallAll({ model: settings.model ?? '', options: settings.options })
      go('/make')
    } catch (error) {
      setFault((error as Error).message)
    }
  }
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is a second way beside "Use all" of a picture
    <div onDragOver={(event) => event.preventDefault()} onDrop={(event) => void drop(event)}>
      {fault && (
        <Alert mb="md" color="red" title="Nothing was read" withCloseButton onClose={() => setFault(undefined)}>
          {fault}
        </Alert>
      )}
      {children}
    </div>
  )
}
