import {
  ActionIcon,
  Alert,
  Button,
  Group,
  Loader,
  Paper,
  PasswordInput,
  Stack,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core'
import { IconList, IconMoon, IconPhoto, IconPlugConnectedX, IconSchool, IconSparkles, IconSun } from '@tabler/icons-react'
import { useQueryClient } from '@tanstack/react-query'
import { type ComponentType, lazy, Suspense, useEffect, useState } from 'react'
import { Link, Redirect, Route, Switch, useLocation } from 'wouter'
import { connection, key } from './api/client.ts'
import { followJobs } from './api/events.ts'
import { Make } from './make/make.tsx'
import { useStore } from './store.ts'

interface PageEntry {
  readonly path: string
  readonly name: string
  readonly icon: ComponentType<{ size?: number }>
  readonly page: ComponentType
}

const pages: readonly PageEntry[] = [
  { path: '/make', name: 'Make', icon: IconSparkles, page: Make },
  {
    path: '/gallery',
    name: 'Gallery',
    icon: IconPhoto,
    page: lazy(async () => ({ default: (await import('./gallery/gallery.tsx')).Gallery })),
  },
  {
    path: '/queue',
    name: 'Queue',
    icon: IconList,
    page: lazy(async () => ({ default: (await import('./queue/queue.tsx')).Queue })),
  },
  {
    path: '/theory',
    name: 'Theory',
    icon: IconSchool,
    page: lazy(async () => ({ default: (await import('./theory/theory.tsx')).Theory })),
  },
]

/** The frame around every page. */
export function App() {
  const client = useQueryClient()
  const state = useStore(connection)
  const [location] = useLocation()
  useEffect(() => {
    const over = new AbortController()
    void followJobs(client, over.signal)
    return () => over.abort()
  }, [client])
  useEffect(() => {
    const { name } = pages.find(({ path }) => location.startsWith(path)) ?? { name: '' }
    document.title = name ? `${name} · langevin studio` : 'langevin studio'
  }, [location])
  if (state === 'locked') return <Locked />
  return (
    <>
      <a className="skip" href="#page">
        To the page
      </a>
      <div className="shell">
        <nav className="rail" aria-label="Pages">
          <img className="mark" src="/studio/icon.svg" alt="langevin" width={36} height={36} />
          {pages.map(({ path, name, icon: Icon }) => (
            <Link key={path} href={path} aria-current={location.startsWith(path) ? 'page' : undefined}>
              <Icon size={20} />
              {name}
            </Link>
          ))}
          <SchemeToggle />
        </nav>
        <main className="page" id="page" tabIndex={-1}>
          {state === 'gone' && <Gone />}
          <Suspense fallback={<Loader aria-label="Loading" />}>
            <Switch>
              {pages.map(({ path, page }) => (
                <Route key={path} path={path} component={page} />
              ))}
              <Route>
                <Redirect to="/make" replace />
              </Route>
            </Switch>
          </Suspense>
        </main>
      </div>
    </>
  )
}

function SchemeToggle() {
  const { setColorScheme } = useMantineColorScheme()
  const dark = useComputedColorScheme('light') === 'dark'
  const label = dark ? 'Light colours' : 'Dark colours'
  return (
    <Tooltip label={label} position="right">
      <ActionIcon
        className="push"
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={label}
        onClick={() => setColorScheme(dark ? 'light' : 'dark')}
      >
        {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
    </Tooltip>
  )
}

/** The server is gone: nothing is lost, and the page comes back by itself. */
function Gone() {
  return (
    <Alert className="banner" color="orange" title="The server does not answer" icon={<IconPlugConnectedX />} role="alert">
      Start it again with <code>npm start -- studio</code>, or <code>langevin studio</code>. This page finds it by itself; what
      was waiting is still in the queue.
    </Alert>
  )
}

/** The server asks for a key. */
function Locked() {
  const client = useQueryClient()
  const known = useStore(key)
  const [text, setText] = useState('')
  return (
    <Group justify="center" align="center" mih="100dvh" p="md">
      <Paper withBorder p="xl" maw={420} component="main">
        <form
          onSubmit={(event) => {
            event.preventDefault()
            key.set(text.trim())
            connection.set('up')
            void client.resetQueries()
          }}
        >
          <Stack>
            <h1>langevin studio</h1>
            <Text size="sm">
              This server answers with a key: that of its --key, or yours in its --keys. It stays in this browser.
            </Text>
            <PasswordInput
              label="Key"
              value={text}
              onChange={({ currentTarget }) => setText(currentTarget.value)}
              error={known ? 'The last key was not known here' : undefined}
              autoComplete="current-password"
            />
            <Button type="submit" disabled={text.trim() === ''}>
              Open
            </Button>
          </Stack>
        </form>
      </Paper>
    </Group>
  )
}
