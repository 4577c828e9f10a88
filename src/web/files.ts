/** What a page is handed: a file input's list, a dropped item list, a folder from `showDirectoryPicker`, or plain files. */
export type PickedFiles = Iterable<File> | DataTransferItemList | FileSystemDirectoryHandle

/**
 * Files by their paths in the folder that was picked or dropped. A folder's own name is left out, so that `model_index.json` lies at
 * the top. No file is read.
 */
export async function filesOf(picked: PickedFiles): Promise<Map<string, File>> {
  if ('kind' in picked && picked.kind === 'directory') return inFolder(picked)
  const found = new Map<string, File>()
  // Items must be asked for all at once: after the first wait a drop's list is empty.
  const items = [...(picked as Iterable<File | DataTransferItem>)].map((item) =>
    item instanceof File ? item : (item.webkitGetAsEntry() ?? item.getAsFile()),
  )
  for (const item of items) {
    if (item instanceof File) found.set(item.webkitRelativePath || item.name, item)
    else if (item) await collect(item, item.name, found)
  }
  return withoutFolder(found)
}

async function inFolder(folder: FileSystemDirectoryHandle, path = '', found = new Map<string, File>()) {
  for await (const [name, handle] of folder.entries()) {
    if (handle.kind === 'file') found.set(path + name, await (handle as FileSystemFileHandle).getFile())
    else await inFolder(handle as FileSystemDirectoryHandle, `${path}${name}/`, found)
  }
  return found
}

async function collect(entry: FileSystemEntry, path: string, found: Map<string, File>): Promise<void> {
  if (entry.isFile) {
    found.set(path, await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)))
    return
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) return
    for (const one of some) await collect(one, `${path}/${one.name}`, found)
  }
}

/** The paths without the one folder that all lie in. */
function withoutFolder(files: Map<string, File>): Map<string, File> {
  const tops = new Set([...files.keys()].map((path) => path.split('/', 1)[0]))
  const [top = ''] = tops
  if (tops.size !== 1 || files.has(top)) return files
  return withoutFolder(new Map([...files].map(([path, file]) => [path.slice(top.length + 1), file])))
}
