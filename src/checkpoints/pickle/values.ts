/** What a pickle's values are here. Nothing of Python's is ever made or called: objects are data of these few classes. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Value[]
  | Tuple
  | Dict
  | Global
  | Storage
  | StoredTensor
  | Inert

export class Tuple {
  readonly items: readonly Value[]
  constructor(items: readonly Value[]) {
    this.items = items
  }
}

/** A dict or OrderedDict. Keys are strings, numbers and the like by value. */
export class Dict {
  readonly map = new Map<unknown, Value>()
}

/** A name that the pickle refers to. Only names that a state dict needs come this far. */
export class Global {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** Where a tensor's elements lie, as the pickle says; what is true of it, its reader checks. */
export class Storage {
  /** The format's name of the elements' type, as `F32`; undefined for bytes whose type the tensor tells. */
  readonly type: string | undefined
  readonly key: string
  /** Elements, or bytes where there is no type. */
  readonly size: number
  /** Elements before it in the storage that it is a view of. */
  readonly first: number
  constructor(type: string | undefined, key: string, size: number, first = 0) {
    this.type = type
    this.key = key
    this.size = size
    this.first = first
  }
}

/** A tensor as the pickle describes it, in elements of its storage. */
export class StoredTensor {
  readonly storage: Storage
  readonly type: string
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  constructor(storage: Storage, type: string, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage
    this.type = type
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }
}

/** A value of a type that no state dict needs, such as a date of training: it is left as a thing without content. */
export class Inert {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}
