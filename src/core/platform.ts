// Imported by every part of langevin: on an older JavaScript engine the first run would end in a TypeError that names no remedy.
if (typeof ArrayBuffer.prototype.transfer !== 'function') {
  const { process } = globalThis as { process?: { version: string } }
  throw new Error(
    `langevin needs Node 22.18 or newer, or a browser of 2024 or newer; this is ${process ? `Node ${process.version}` : 'older'}. ` +
      'The command `npx langevin` brings a newer Node by itself.',
  )
}
