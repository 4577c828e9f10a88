import { folderStore } from './folder.ts'
import type { Store } from './store.ts'

/** A store by its address: a folder, or `s3://bucket/prefix`. */
export async function openStore(address: string): Promise<Store> {
  return address.startsWith('s3://') ? (await import('./s3.ts')).s3Store(address) : folderStore(address)
}
