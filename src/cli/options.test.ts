import { Command } from 'commander'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { regrouped } from './arguments.ts'
import { UsageError } from './errors.ts'
import { addOptions, normalise } from './options.ts'

const schema = z.object({
  model: z.string().meta({ description: 'the model' }),
  num: z.int().min(1).default(16).meta({ description: 'how many pictures' }),
  guidance_scale: z.number().default(7.5),
  seed: z.union([z.int(), z.literal('random')]).default(0),
  sampler: z.enum(['ddpm', 'ddim']).default('ddim').meta({ description: 'how to sample' }),
  sizes: z.array(z.int()).optional(),
  ema: z.boolean().default(true).meta({ description: 'use plain weights' }),
  json: z.boolean().default(false),
})

function parse(...args: string[]) {
  const command = new Command('test').exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} })
  const options = addOptions(command, schema, ['model'])
  command.parse(normalise(args), { from: 'user' })
  return options()
}

test('defaults come from the schema', () => {
  expect(parse('zoo/a')).toEqual({
    model: 'zoo/a',
    num: 16,
    guidance_scale: 7.5,
    seed: 0,
    sampler: 'ddim',
    ema: true,
    json: false,
  })
})

test('values are read by the type that the schema takes, zero included', () => {
  expect(parse('7', '--guidance-scale', '0', '--seed', 'random', '--sizes', '8', '16', '--no-ema', '--json')).toMatchObject({
    model: '7',
    guidance_scale: 0,
    seed: 'random',
    sizes: [8, 16],
    ema: false,
    json: true,
  })
})

test('underscores and hyphens are the same flag, and values keep theirs', () => {
  expect(parse('a', '--guidance_scale', '2').guidance_scale).toBe(2)
  expect(normalise(['--guidance_scale=a_b', 'c_d', '--', '--e_f'])).toEqual(['--guidance-scale=a_b', 'c_d', '--', '--e_f'])
})

test('every wrong flag is named, by the name that was typed', () => {
  expect(() => parse('a', '--num', '0', '--guidance-scale', 'high', '--sampler', 'euler')).toThrow(UsageError)
  try {
    parse('a', '--num', '0', '--guidance-scale', 'high', '--sampler', 'euler')
  } catch (error) {
    expect((error as Error).message.split('\n').map((line) => line.split(':')[0])).toEqual([
      '--num',
      '--guidance-scale',
      '--sampler',
    ])
  }
})

test('help tells what a flag takes', () => {
  const command = new Command('test')
  addOptions(command, schema, ['model'])
  const help = command.helpInformation()
  expect(help).toContain('Usage: test [options] <model>')
  expect(help).toMatch(/--num <number> +how many pictures \(default 16\)/)
  expect(help).toMatch(/--sampler <choice> +how to sample \(one of ddpm, ddim; default "ddim"\)/)
  expect(help).toMatch(/--no-ema +use plain weights/)
  expect(help).toMatch(/--sizes <number\.\.\.>/)
})

test('a flag of several values gives back the argument that stood after them', () => {
  expect(parse('--sizes', '8', 'zoo/a')).toMatchObject({ model: 'zoo/a', sizes: [8] })
  expect(parse('--sizes', '8', '16', 'zoo/a', '--num', '2')).toMatchObject({ model: 'zoo/a', sizes: [8, 16], num: 2 })
  expect(parse('--sizes', '8', '--sizes', '16', '--', '-a')).toMatchObject({ model: '-a', sizes: [8, 16] })
  expect(parse('zoo/a', '--sizes', '8', '16')).toMatchObject({ model: 'zoo/a', sizes: [8, 16] })
  expect(regrouped(['--sizes', '8'], (flag) => (flag === '--sizes' ? 'list' : undefined), 1)).toEqual(['--sizes', '8'])
})

test('an argument that stands before a flag of several values is seen', async () => {
  const given: Record<string, unknown>[] = []
  const program = () => {
    const command = new Command('program').exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} })
    const test = command.command('test')
    const lists = z.object({ model: z.string(), sizes: z.array(z.int()).optional(), names: z.array(z.string()).optional() })
    const options = addOptions(test, lists, ['model'])
    test.action(() => void given.push(options()))
    return command
  }
  for (const [flag, values, read] of [
    ['--sizes', ['8', '16'], { sizes: [8, 16] }],
    ['--names', ['a', 'b'], { names: ['a', 'b'] }],
  ] as const) {
    await program().parseAsync(['test', 'zoo/a', flag, ...values], { from: 'user' })
    expect(given.pop()).toEqual({ model: 'zoo/a', ...read })
    await program().parseAsync(['test', flag, ...values, 'zoo/a'], { from: 'user' })
    expect(given.pop()).toEqual({ model: 'zoo/a', ...read })
    await program().parseAsync(['test', flag, ...values, '--', 'zoo/a'], { from: 'user' })
    expect(given.pop()).toEqual({ model: 'zoo/a', ...read })
  }
})

test('a flag has the names that other programs give it', () => {
  const command = new Command('test').exitOverride()
  const options = addOptions(command, schema, ['model'], { '--num-images-per-prompt': '--num' })
  command.parse(normalise(['a', '--num_images_per_prompt=3']), { from: 'user' })
  expect(options().num).toBe(3)
})
