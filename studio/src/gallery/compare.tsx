import { Modal, Slider, Stack, Text } from '@mantine/core'
import { useState } from 'react'
import { altOf, Picture } from '../parts/picture.tsx'
import type { Item } from './items.ts'

/** Two pictures, one over the other, cut at a place that moves. */
export function Compare({ left, right, onClose }: { readonly left: Item; readonly right: Item; readonly onClose: () => void }) {
  const [at, setAt] = useState(50)
  const words = ({ job, file }: Item) => `${job.model} · seed ${file.seed ?? '–'} · ${altOf(file.prompt ?? job.options.prompt)}`
  return (
    <Modal opened onClose={onClose} title="Compare" size="auto" centered>
      <Stack gap="sm" w="min(36rem, 86vw)">
        <div className="over">
          <Picture file={right.file} alt={words(right)} />
          <div className="cut" style={{ clipPath: `inset(0 ${100 - at}% 0 0)` }}>
            <Picture file={left.file} alt={words(left)} />
          </div>
        </div>
        <Slider value={at} onChange={setAt} label={null} thumbLabel="Where the pictures meet" />
        <Text size="xs" c="dimmed" className="wrap">
          Left: {words(left)}
          <br />
          Right: {words(right)}
        </Text>
      </Stack>
    </Modal>
  )
}
