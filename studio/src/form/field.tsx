import {
  Autocomplete,
  Button,
  Fieldset,
  Group,
  JsonInput,
  NumberInput,
  Paper,
  Select,
  Slider,
  Stack,
  Switch,
  TagsInput,
  Text,
  TextInput,
} from '@mantine/core'
import { IconPlus, IconTrash } from '@tabler/icons-react'
import { useState } from 'react'
import { FileField } from './file-field.tsx'
import { boundsOf, controlOf, type Schema, sentence, titleOf } from './schema.ts'

export interface FieldProps {
  readonly name: string
  readonly schema: Schema
  readonly value: unknown
  readonly onChange: (value: unknown) => void
  readonly error?: string | undefined
  /** Values to choose from where others may be written. */
  readonly suggestions?: readonly string[] | undefined
  readonly placeholder?: string | undefined
}

/** One option, asked for as its schema says. */
export function Field(props: FieldProps) {
  const { name, schema, value, onChange, error, suggestions } = props
  const label = titleOf(name)
  const given = schema.default === undefined || typeof schema.default === 'object' ? '' : String(schema.default)
  const common = {
    label,
    description: sentence(schema.description),
    error,
    placeholder: props.placeholder ?? (given || 'the model’s own'),
  }
  switch (controlOf(schema)) {
    case 'file':
      return <FileField {...common} value={value} onChange={onChange} />
    case 'switch':
      return (
        <Switch
          label={label}
          description={common.description}
          error={error}
          checked={value === undefined ? schema.default === true : value === true}
          onChange={({ currentTarget }) => onChange(currentTarget.checked)}
        />
      )
    case 'choice':
      return (
        <Select
          {...common}
          data={(schema.enum ?? []).map(String)}
          value={value === undefined ? null : String(value)}
          onChange={(chosen) => onChange(schema.enum?.find((one) => String(one) === chosen))}
          clearable
        />
      )
    case 'number':
      return <NumberField {...props} common={common} />
    case 'text':
      return suggestions ? (
        <Autocomplete
          {...common}
          data={[...suggestions]}
          limit={40}
          value={typeof value === 'string' ? value : ''}
          onChange={(text) => onChange(text || undefined)}
          clearable
        />
      ) : (
        <TextInput
          {...common}
          value={typeof value === 'string' ? value : ''}
          onChange={({ currentTarget }) => onChange(currentTarget.value || undefined)}
        />
      )
    case 'numbers':
      return <NumbersField {...common} value={value} onChange={onChange} />
    case 'words':
      return (
        <TagsInput
          {...common}
          value={Array.isArray(value) ? value.map(String) : []}
          onChange={(words) => onChange(words.length > 0 ? words : undefined)}
        />
      )
    case 'group':
      return <GroupField {...props} label={label} />
    case 'list':
      return <ListField {...props} label={label} />
    case 'json':
      return <JsonField {...common} value={value} onChange={onChange} />
  }
}

interface Common {
  readonly label: string
  readonly description: string
  readonly error?: string | undefined
  readonly placeholder: string
}

function NumberField({ schema, value, onChange, common }: FieldProps & { readonly common: Common }) {
  const { whole, min, max } = boundsOf(schema)
  const number = typeof value === 'number' ? value : undefined
  const bounds = { ...(min !== undefined && { min }), ...(max !== undefined && { max }) }
  const span = min !== undefined && max !== undefined ? max - min : Number.POSITIVE_INFINITY
  const step = whole ? 1 : span <= 1 ? 0.05 : 0.5
  const input = (
    <NumberInput
      {...common}
      {...bounds}
      step={step}
      allowDecimal={!whole}
      value={number ?? ''}
      onChange={(next) => onChange(typeof next === 'number' ? next : undefined)}
    />
  )
  if (whole || span > 10) return input
  return (
    <Stack gap={6}>
      {input}
      <Slider
        {...bounds}
        step={step}
        size="sm"
        label={null}
        thumbLabel={common.label}
        value={number ?? (typeof schema.default === 'number' ? schema.default : (min ?? 0))}
        onChange={onChange}
      />
    </Stack>
  )
}

function NumbersField({ value, onChange, placeholder, ...common }: Common & Pick<FieldProps, 'value' | 'onChange'>) {
  const [text, setText] = useState(Array.isArray(value) ? value.join(', ') : '')
  const numbers = text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(Number)
  const wrong = numbers.some(Number.isNaN) ? 'Numbers with commas between them' : undefined
  return (
    <TextInput
      {...common}
      placeholder={placeholder || 'numbers with commas between them'}
      error={common.error ?? wrong}
      value={text}
      onChange={({ currentTarget }) => {
        setText(currentTarget.value)
        const next = currentTarget.value
          .split(/[\s,;]+/)
          .filter(Boolean)
          .map(Number)
        if (!next.some(Number.isNaN)) onChange(next.length > 0 ? next : undefined)
      }}
    />
  )
}

function JsonField({ value, onChange, ...common }: Common & Pick<FieldProps, 'value' | 'onChange'>) {
  const [text, setText] = useState(value === undefined ? '' : JSON.stringify(value, null, 2))
  return (
    <JsonInput
      {...common}
      placeholder="JSON"
      validationError="This is no JSON"
      autosize
      minRows={2}
      value={text}
      onChange={(next) => {
        setText(next)
        try {
          onChange(next.trim() ? JSON.parse(next) : undefined)
        } catch {
          // Told below the field; the last that was JSON holds.
        }
      }}
    />
  )
}

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

function GroupField({ schema, value, onChange, label }: FieldProps & { readonly label: string }) {
  const held = record(value)
  return (
    <Fieldset legend={label}>
      <Stack gap="sm">
        {Object.entries(schema.properties ?? {}).map(([name, one]) => (
          <Field
            key={name}
            name={name}
            schema={one}
            value={held[name]}
            onChange={(next) => onChange({ ...held, [name]: next })}
          />
        ))}
      </Stack>
    </Fieldset>
  )
}

function ListField({ schema, value, onChange, label }: FieldProps & { readonly label: string }) {
  const rows = Array.isArray(value) ? value : []
  const items = typeof schema.items === 'object' ? schema.items : {}
  const put = (next: readonly unknown[]) => onChange(next.length > 0 ? next : undefined)
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text size="sm" fw={500}>
          {label}
        </Text>
        <Button size="compact-xs" variant="light" leftSection={<IconPlus size={14} />} onClick={() => put([...rows, {}])}>
          Add
        </Button>
      </Group>
      {schema.description && (
        <Text size="xs" c="dimmed">
          {sentence(schema.description)}
        </Text>
      )}
      {rows.map((row, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rows have no other name than their place
        <Paper key={i} withBorder p="sm">
          <Stack gap="sm">
            {Object.entries(items.properties ?? {}).map(([name, one]) => (
              <Field
                key={name}
                name={name}
                schema={one}
                value={record(row)[name]}
                onChange={(next) => put(rows.with(i, { ...record(row), [name]: next }))}
              />
            ))}
            <Button
              size="compact-xs"
              variant="subtle"
              color="red"
              leftSection={<IconTrash size={14} />}
              onClick={() => put(rows.toSpliced(i, 1))}
            >
              Remove
            </Button>
          </Stack>
        </Paper>
      ))}
    </Stack>
  )
}
