import './platform.ts'

/** The base of every error that langevin throws on purpose: its message names the place and the remedy. */
export class LangevinError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = this.constructor.name
  }
}

/** Shapes that do not fit: the message names the operation or the parameter, and both shapes. */
export class ShapeError extends LangevinError {}

/** Element types that do not fit an operation. */
export class DTypeError extends LangevinError {}

/** An argument outside what a function accepts. */
export class ArgumentError extends LangevinError {}
