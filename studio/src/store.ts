import { useSyncExternalStore } from 'react'

/** A value that several parts of a page share, told to them when it changes. */
export interface Store<T> {
  get(): T
  set(next: T | ((now: T) => T)): void
  subscribe(listener: () => void): () => void
}

/** @param key under which this browser keeps it; nowhere unless given */
export function createStore<T>(initial: T, key?: string): Store<T> {
  let value = key === undefined ? initial : read(key, initial)
  const listeners = new Set<() => void>()
  return {
    get: () => value,
    set(next) {
      value = typeof next === 'function' ? (next as (now: T) => T)(value) : next
      if (key !== undefined) keep(key, value)
      for (const listener of listeners) listener()
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

export const useStore = <T>(store: Store<T>): T => useSyncExternalStore(store.subscribe, store.get)

/** What is kept may be of an older studio: an object is laid over what it has to hold. */
function read<T>(key: string, initial: T): T {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? 'null')
    if (found === null || typeof found !== typeof initial || Array.isArray(found) !== Array.isArray(initial)) return initial
    return typeof initial === 'object' && !Array.isArray(initial) ? { ...initial, ...found } : found
  } catch {
    return initial
  }
}

function keep(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value))
  } catch {
    // A browser that keeps nothing: the page works, and forgets.
  }
}
