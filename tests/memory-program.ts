// Opens a network's weights, compiles it, runs it once, and says what that took: `node memory-program.ts FILE size|speed`. Linux only.
import { readFileSync, writeFileSync } from 'node:fs'
import { openSafetensors } from '../src/checkpoints/safetensors.ts'
import { input } from '../src/core/tensor.ts'
import { packStore } from '../src/runtime/node/pack-store.ts'
import { packedSoFar } from '../src/runtime/node/packer.ts'
import { compile, evaluate } from '../src/runtime/program.ts'
import { Generator } from '../src/runtime/random.ts'
import { type Found, network, shape } from './memory.ts'

const kilobytes = (text: string, name: string) =>
  [...text.matchAll(new RegExp(`^${name}:\\s+(\\d+) kB`, 'gm'))].reduce((sum, [, n]) => sum + Number(n), 0)
const status = (name: string) => 1024 * kilobytes(readFileSync('/proc/self/status', 'utf8'), name)

const [file, memory] = process.argv.slice(2) as [string, 'size' | 'speed']
// What Node and ONNX Runtime take at their first program is none of the network's.
await evaluate({ y: input('x', [2]).add(1) }, { x: new Generator(0).randn([2]) })
const ownBefore = status('RssAnon')
writeFileSync('/proc/self/clear_refs', '5') // The peak is now what is resident.
const before = status('VmRSS')
const weights = openSafetensors(file).tensors
const program = await compile({ outputs: { y: network()(input('x', shape)) }, weights }, { memory, threads: 1 })
const { y } = await program.run({ x: new Generator(1).randn(shape) })
const rise = status('VmHWM') - before
await packStore()?.settled()
const maps = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
const packs = maps.filter((map) => map.includes('.pack'))
const ofPacks = (name: string) => 1024 * packs.reduce((sum, map) => sum + kilobytes(map, name), 0)
const found: Found = {
  packed: packedSoFar(),
  rise,
  sum: y?.sum().item() as number,
  mapped: ofPacks('Rss'),
  own: ofPacks('Private_Dirty'),
  anonymous: status('RssAnon') - ownBefore,
}
console.log(JSON.stringify(found))
