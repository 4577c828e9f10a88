const words: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder, not a file',
  ENOTDIR: 'a part of its path is a file, not a folder',
  ELOOP: 'its links lead in a circle',
  EACCES: 'you may not read or write there',
  EPERM: 'the system does not permit it',
  EROFS: 'the disk is read-only',
  EFBIG: 'the file would be larger than the system permits',
  ENOSPC: 'the disk is full',
  ENAMETOOLONG: 'its name is too long',
  EMFILE: 'too many files are open',
  ENOTFOUND: 'there is no network, or no such address',
  EAI_AGAIN: 'the name server does not answer',
  ECONNREFUSED: 'nothing answers at that address',
  ECONNRESET: 'the connection broke off',
  ETIMEDOUT: 'there was no answer in time',
  ENETUNREACH: 'there is no network',
  EHOSTUNREACH: 'there is no way to that address',
  UND_ERR_CONNECT_TIMEOUT: 'there was no answer in time',
  UND_ERR_SOCKET: 'the connection broke off',
}

/** What a system's error says, by its code and in words: `ENOENT, there is no such file`. Of any other error its message. */
export function inWords(cause: unknown): string {
  const { code, message } = cause as { code?: string; message?: string }
  return code !== undefined && Object.hasOwn(words, code) ? `${code}, ${words[code]}` : (message ?? String(cause))
}
