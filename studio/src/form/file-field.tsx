import { Button, CloseButton, FileButton, Group, Input, Loader, Text } from '@mantine/core'
import { IconPhotoPlus } from '@tabler/icons-react'
import { type DragEvent, useState } from 'react'
import { uploadFile } from '../api/jobs.ts'
import type { StoredFile } from '../api/types.ts'

/** Formats that the server reads. */
export const pictureTypes = 'image/png,image/jpeg,image/webp'

interface Props {
  readonly label: string
  readonly description?: string
  readonly error?: string | undefined
  readonly value: unknown
  readonly onChange: (value: unknown) => void
}

/** A picture of an option: chosen, or dropped here; it goes to the server at once. */
export function FileField({ label, description, error, value, onChange }: Props) {
  const [stored, setStored] = useState<StoredFile>()
  const [busy, setBusy] = useState(false)
  const [fault, setFault] = useState<string>()
  const [over, setOver] = useState(false)
  const chosen = typeof value === 'object' && value !== null && 'file' in value
  const take = async (file: File | null | undefined) => {
    if (!file) return
    setBusy(true)
    setFault(undefined)
    try {
      const found = await uploadFile(file)
      setStored(found)
      onChange({ file: found.id })
    } catch (refused) {
      setFault((refused as Error).message)
    } finally {
      setBusy(false)
    }
  }
  const drop = (event: DragEvent) => {
    event.preventDefault()
    setOver(false)
    void take(event.dataTransfer.files[0])
  }
  const shown = chosen && stored?.id === (value as { file: string }).file ? stored : undefined
  return (
    <Input.Wrapper label={label} description={description} error={fault ?? error}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is a second way beside the button within */}
      <div
        className={over ? 'drop over' : 'drop'}
        onDragOver={(event) => {
          event.preventDefault()
          setOver(true)
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        {busy ? (
          <Loader size="sm" aria-label="Uploading" />
        ) : chosen ? (
          <Group wrap="nowrap">
            {shown && <img className="thumb" src={shown.url} alt={label} />}
            <Text size="sm">{shown ? `${shown.width} × ${shown.height}` : 'a picture is chosen'}</Text>
            <CloseButton aria-label={`Remove: ${label}`} onClick={() => onChange(undefined)} />
          </Group>
        ) : (
          <FileButton onChange={take} accept={pictureTypes} inputProps={{ 'aria-label': label }}>
            {(props) => (
              <Button
                {...props}
                variant="subtle"
                size="compact-sm"
                leftSection={<IconPhotoPlus size={16} />}
                aria-label={`Choose: ${label}`}
              >
                Choose, or drop it here
              </Button>
            )}
          </FileButton>
        )}
      </div>
    </Input.Wrapper>
  )
}
