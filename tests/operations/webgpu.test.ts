import { allCases } from './suite.ts'
import { describeOnWebgpu } from './webgpu-suite.ts'

/** Groups whose shaders take long to compile in software: every fourth case here, all of them in the slow tests. */
const slow = /^(conv|resize|.*Pool|matmul|linear|attention|groupNorm|layerNorm)/

describeOnWebgpu(
  allCases.filter(({ name, group }) => {
    if (!slow.test(group)) return true
    const kinds = allCases.filter((c) => c.group === group && !c.name.includes('/blocks'))
    return kinds.findIndex((c) => c.name === name) % 4 === 0
  }),
)
