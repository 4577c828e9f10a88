const words: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder, not a file',
  ENOTDIR: 'a part of its path is a file, not a folder',
  ELOOP: 'its links lead in a circle',
  EACCES: 'you may not read or write there',
  EPERM: 'the system does not permit it',
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
  ENAMETOOLONG: 'its name is too long',
  EMFILE: 'too many files are open',
}

/** What a system's error says, by its code and in words: `ENOENT, there is no such file`. Of any other error its message. */
export function inWords(cause: unknown): string {
  const { code, message } = cause as { code?: string; message?: string }
  return code !== undefined && Object.hasOwn(words, code) ? `${code}, ${words[code]}` : (message ?? String(cause))
}
