import { Accordion, ActionIcon, Group, NumberInput, SimpleGrid, Stack, Tooltip } from '@mantine/core'
import { IconArrowsExchange, IconLock, IconLockOpen } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { samplersQuery } from '../api/queries.ts'
import type { Options } from '../api/types.ts'
import { Field } from './field.tsx'
import { controlOf, type ObjectSchema } from './schema.ts'

interface Props {
  readonly schema: ObjectSchema
  readonly values: Options
  readonly onChange: (name: string, value: unknown) => void
  readonly seedLocked: boolean
  readonly onLock: (locked: boolean) => void
  /** The option that the server refused, and why. */
  readonly fault?: { readonly param: string; readonly message: string } | undefined
  /** Options that the page asks for in another place. */
  readonly without?: readonly string[]
}

/** Those that nearly everyone turns to, in this order; whatever else a model takes stands below. */
const first = ['steps', 'guidance', 'num', 'scheduler']

/** A model's options, whichever they are. */
export function OptionsForm({ schema, values, onChange, seedLocked, onLock, fault, without = [] }: Props) {
  const { data: samplers = [] } = useQuery(samplersQuery)
  const known = Object.keys(schema.properties).filter((name) => !without.includes(name))
  const has = (name: string) => known.includes(name)
  const field = (name: string) => {
    const own = schema.properties[name]
    return (
      own && (
        <Field
          key={name}
          name={name}
          schema={own}
          value={values[name]}
          onChange={(value) => onChange(name, value)}
          error={fault?.param === name ? fault.message : undefined}
          suggestions={name === 'scheduler' ? samplers : undefined}
        />
      )
    )
  }
  const short = (name: string) => {
    const own = schema.properties[name]
    return (
      own && (
        <Field
          key={name}
          name={name}
          schema={{ ...own, description: '' }}
          value={values[name]}
          onChange={(value) => onChange(name, value)}
          error={fault?.param === name ? fault.message : undefined}
          suggestions={name === 'scheduler' ? samplers : undefined}
          placeholder={
            own.default === undefined
              ? name === 'scheduler'
                ? 'the model’s own, or by name: DPM++ 2M Karras'
                : 'auto'
              : String(own.default)
          }
        />
      )
    )
  }
  const sized = has('width') && has('height')
  const top = [...first, 'seed', ...(sized ? ['width', 'height'] : [])]
  const pictures = known.filter((name) => controlOf(schema.properties[name] ?? {}) === 'file')
  // How far a given picture may change belongs beside it.
  if (pictures.length > 0 && has('strength')) pictures.push('strength')
  const more = known.filter((name) => !top.includes(name) && !pictures.includes(name))
  return (
    <Stack gap="md">
      <SimpleGrid cols={3} spacing="sm">
        {['steps', 'guidance', 'num'].filter(has).map(short)}
      </SimpleGrid>
      {sized && (
        <Group gap="xs" align="flex-end" wrap="nowrap" grow preventGrowOverflow={false}>
          {short('width')}
          <Tooltip label="Swap width and height">
            <ActionIcon
              variant="default"
              size="input-sm"
              flex="0 0 auto"
              aria-label="Swap width and height"
              onClick={() => {
                onChange('width', values.height)
                onChange('height', values.width)
              }}
            >
              <IconArrowsExchange size={16} />
            </ActionIcon>
          </Tooltip>
          {short('height')}
        </Group>
      )}
      {has('seed') && (
        <Group gap="xs" align="flex-end" wrap="nowrap">
          <NumberInput
            label="Seed"
            flex={1}
            allowDecimal={false}
            placeholder="another each time"
            value={typeof values.seed === 'number' ? values.seed : ''}
            error={fault?.param === 'seed' ? fault.message : undefined}
            onChange={(seed) => {
              onChange('seed', typeof seed === 'number' ? seed : undefined)
              onLock(typeof seed === 'number')
            }}
          />
          <Tooltip label={seedLocked ? 'Locked: the same seed, the same pictures' : 'Open: another seed each time'}>
            <ActionIcon
              variant={seedLocked ? 'filled' : 'default'}
              size="input-sm"
              aria-label="Keep the seed"
              aria-pressed={seedLocked}
              onClick={() => onLock(!seedLocked)}
            >
              {seedLocked ? <IconLock size={16} /> : <IconLockOpen size={16} />}
            </ActionIcon>
          </Tooltip>
        </Group>
      )}
      {has('scheduler') && short('scheduler')}
      {(pictures.length > 0 || more.length > 0) && (
        <Accordion multiple variant="separated" chevronPosition="left">
          {pictures.length > 0 && (
            <Accordion.Item value="pictures">
              <Accordion.Control>From a picture</Accordion.Control>
              <Accordion.Panel>
                <Stack gap="md">{pictures.map(field)}</Stack>
              </Accordion.Panel>
            </Accordion.Item>
          )}
          {more.length > 0 && (
            <Accordion.Item value="more">
              <Accordion.Control>Everything else ({more.length})</Accordion.Control>
              <Accordion.Panel>
                <Stack gap="md">{more.map(field)}</Stack>
              </Accordion.Panel>
            </Accordion.Item>
          )}
        </Accordion>
      )}
    </Stack>
  )
}
