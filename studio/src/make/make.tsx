import { ActionIcon, Button, Group, Kbd, Menu, Select, Stack, Text, Tooltip } from '@mantine/core'
import { IconHistory, IconSparkles } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { ApiError } from '../api/client.ts'
import { useSubmit } from '../api/jobs.ts'
import { modelQuery, modelsQuery } from '../api/queries.ts'
import { OptionsForm } from '../form/options-form.tsx'
import { Prompt } from '../form/prompt.tsx'
import { cleaned } from '../form/schema.ts'
import { Notice } from '../parts/notice.tsx'
import { useStore } from '../store.ts'
import { change, draft, randomSeed, remember, setOption } from './draft.ts'
import { Stage } from './stage.tsx'

/** Makes pictures (films) of a prompt, by any model. */
export function Make() {
  const { model: chosen, prompt, negative, options, seedLocked, history } = useStore(draft)
  const { data: models, error: modelsError, refetch } = useQuery(modelsQuery)
  const drawn = models?.data.filter(({ output }) => output !== 'text') ?? []
  const model = drawn.some(({ id }) => id === chosen) ? chosen : (models?.default_model ?? '')
  const { data: described, error: modelError } = useQuery(modelQuery(model))
  const schema = described?.options
  const values = options[model] ?? {}
  const submit = useSubmit()
  const [shown, setShown] = useState<string>()
  const fault =
    submit.error instanceof ApiError && submit.error.param
      ? { param: submit.error.param, message: submit.error.message }
      : undefined
  const takes = (name: string) => schema !== undefined && Object.hasOwn(schema.properties, name)

  const make = () => {
    if (!schema) return
    const seed = seedLocked && typeof values.seed === 'number' ? values.seed : randomSeed()
    if (takes('seed')) setOption(model, 'seed', seed)
    const asked = { ...values, prompt, negative, ...(takes('seed') && { seed }) }
    remember(prompt)
    submit.mutate({ model, options: cleaned(schema, asked), metadata: { page: 'make' } }, { onSuccess: ({ id }) => setShown(id) })
  }

  return (
    <div className="make">
      <form
        className="make-prompt"
        onSubmit={(event) => {
          event.preventDefault()
          make()
        }}
      >
        <h1>Make</h1>
        <Stack gap="sm">
          {modelsError && <Notice title="The models cannot be listed" error={modelsError} onRetry={() => void refetch()} />}
          <Select
            label="Model"
            searchable
            data={drawn.map(({ id }) => id)}
            value={model || null}
            onChange={(id) => {
              submit.reset()
              change({ model: id ?? '' })
            }}
            nothingFoundMessage="No model of this name"
            allowDeselect={false}
            disabled={drawn.length === 0}
          />
          {modelError && <Notice title={`${model} cannot be used`} error={modelError} />}
          {takes('prompt') && (
            <div className="with-corner">
              <Prompt
                label="Prompt"
                placeholder="What the picture shows"
                rows={3}
                value={prompt}
                onChange={(text) => change({ prompt: text })}
                onSubmit={make}
                error={fault?.param === 'prompt' ? fault.message : undefined}
              />
              <Menu position="bottom-end" withinPortal>
                <Menu.Target>
                  <Tooltip label="Prompts so far">
                    <ActionIcon
                      className="corner"
                      variant="subtle"
                      size="sm"
                      color="gray"
                      aria-label="Prompts so far"
                      disabled={history.length === 0}
                    >
                      <IconHistory size={16} />
                    </ActionIcon>
                  </Tooltip>
                </Menu.Target>
                <Menu.Dropdown className="history">
                  {history.map((one) => (
                    <Menu.Item key={one} onClick={() => change({ prompt: one })}>
                      {one}
                    </Menu.Item>
                  ))}
                </Menu.Dropdown>
              </Menu>
            </div>
          )}
          {takes('negative') && (
            <Prompt
              label="Not in the picture"
              placeholder="What it does not show"
              rows={1}
              value={negative}
              onChange={(text) => change({ negative: text })}
              onSubmit={make}
              error={fault?.param === 'negative' ? fault.message : undefined}
            />
          )}
          <Button type="submit" size="md" leftSection={<IconSparkles size={18} />} loading={submit.isPending} disabled={!schema}>
            Make
          </Button>
          <Group gap={6} className="hint">
            <Kbd size="xs">Ctrl</Kbd>+<Kbd size="xs">Enter</Kbd>
            <Text size="xs" c="dimmed">
              makes;
            </Text>
            <Kbd size="xs">Ctrl</Kbd>+<Kbd size="xs">↑ ↓</Kbd>
            <Text size="xs" c="dimmed">
              weighs a word
            </Text>
          </Group>
          {submit.error && !(fault && takes(fault.param)) && (
            <Notice title="It was not taken" error={submit.error} onRetry={make} busy={submit.isPending} />
          )}
        </Stack>
      </form>
      <section className="make-stage" aria-label="Pictures">
        <Stage shown={shown} onShow={setShown} canPrompt={takes('prompt')} />
      </section>
      <section className="make-options" aria-label="Options">
        {schema && (
          <OptionsForm
            key={model}
            schema={schema}
            values={values}
            onChange={(name, value) => setOption(model, name, value)}
            seedLocked={seedLocked}
            onLock={(locked) => change({ seedLocked: locked })}
            fault={fault}
            without={['prompt', 'negative']}
          />
        )}
      </section>
    </div>
  )
}
