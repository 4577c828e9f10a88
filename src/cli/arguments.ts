/** A flag under its own name. */
export function renamed(arg: string, aliases: Readonly<Record<string, string>>): string {
  const [flag = ''] = arg.split('=')
  const name = Object.hasOwn(aliases, flag) ? aliases[flag] : undefined
  return name === undefined ? arg : name + arg.slice(flag.length)
}

/**
 * Takes the argument back that a flag of many values swallowed: of `--lora a.safetensors "a fox"` the fox is the prompt. Where
 * fewer arguments stand by themselves than are wanted, the last flag that took several values in a row gives its last.
 *
 * @param takes how many values a flag has; undefined for what is no flag
 * @param wanted arguments without a flag
 * @param free how many of them came before `args`
 */
export function regrouped(
  args: readonly string[],
  takes: (flag: string) => 'none' | 'one' | 'list' | undefined,
  wanted: number,
  free = 0,
): string[] {
  let last: { readonly at: number } | undefined
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string
    if (arg === '--') {
      free += args.length - i - 1
      break
    }
    const kind = takes(arg)
    if (kind === 'one') i++
    else if (kind === 'list') {
      const from = i + 1
      while (i + 1 < args.length && !isFlag(args[i + 1] as string)) i++
      if (i > from) last = { at: i }
    } else if (kind === undefined && !isFlag(arg)) free++
  }
  if (!last || free >= wanted) return [...args]
  return [args[last.at] as string, ...args.slice(0, last.at), ...args.slice(last.at + 1)]
}

/** As commander reads them: a lone dash and negative numbers are values. */
const isFlag = (arg: string) => arg.length > 1 && arg.startsWith('-') && !/^-(\d+|\d*\.\d+)(e[+-]?\d+)?$/.test(arg)
