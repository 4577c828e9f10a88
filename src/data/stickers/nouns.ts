import { ArgumentError } from '../../core/errors.ts'
import { type Icon, stickerCatalogue } from './catalogue.ts'
import { withArticle } from './names.ts'

/** What captions call an icon. */
export interface Noun {
  readonly icon: Icon
  /** In the singular, without an article; the first is the plainest. */
  readonly words: readonly string[]
}

/**
 * The icons of scenes, and what captions call them: things that three designers draw alike and
 * that are recognised at twenty pixels. None is held out.
 */
const known: Readonly<Record<string, string>> = {
  // Animals
  'baby chick': 'chick, baby chick',
  'cat face': 'cat, cat face, kitty',
  'dog face': 'dog, dog face, puppy',
  'lady beetle': 'ladybug, ladybird',
  'monkey face': 'monkey, monkey face',
  'pig face': 'pig, pig face, piglet',
  'spouting whale': 'whale, spouting whale',
  'tropical fish': 'fish, tropical fish',
  bear: 'bear, brown bear',
  butterfly: 'butterfly',
  crab: 'crab, red crab',
  elephant: 'elephant',
  flamingo: 'flamingo',
  fox: 'fox, red fox',
  frog: 'frog, green frog',
  honeybee: 'bee, honeybee',
  koala: 'koala',
  lion: 'lion',
  octopus: 'octopus',
  owl: 'owl',
  panda: 'panda, panda bear',
  parrot: 'parrot',
  penguin: 'penguin',
  turtle: 'turtle, tortoise',
  unicorn: 'unicorn',
  // Plants
  'evergreen tree': 'pine tree, fir tree, evergreen tree',
  'four-leaf clover': 'clover, four-leaf clover',
  'maple leaf': 'maple leaf, red leaf',
  'palm tree': 'palm tree, palm',
  cactus: 'cactus',
  mushroom: 'mushroom, toadstool',
  sunflower: 'sunflower',
  tulip: 'tulip',
  // Food
  'birthday cake': 'cake, birthday cake',
  'cheese wedge': 'piece of cheese, cheese wedge',
  'cup of coffee': 'cup of coffee, mug of coffee',
  'ear of corn': 'ear of corn, corn cob',
  'french fries': 'french fries, fries',
  'hot dog': 'hot dog',
  'red apple': 'apple, red apple',
  'slice of pizza': 'slice of pizza, pizza slice, piece of pizza',
  'slice of watermelon': 'slice of watermelon, watermelon slice',
  'soft ice cream': 'ice cream cone, soft ice cream cone',
  avocado: 'avocado',
  banana: 'banana',
  carrot: 'carrot',
  cherries: 'cherries',
  cookie: 'cookie, biscuit',
  croissant: 'croissant',
  cupcake: 'cupcake',
  doughnut: 'donut, doughnut',
  eggplant: 'eggplant, aubergine',
  grapes: 'grapes',
  hamburger: 'burger, hamburger',
  lemon: 'lemon',
  lollipop: 'lollipop',
  pineapple: 'pineapple',
  strawberry: 'strawberry',
  tomato: 'tomato',
  // Things
  'alarm clock': 'alarm clock, clock',
  'fire engine': 'fire engine, fire truck',
  'gem stone': 'diamond, gem',
  'lightning bolt': 'lightning bolt, bolt of lightning',
  'light bulb': 'light bulb, lamp',
  'teddy bear': 'teddy bear, teddy',
  'top hat': 'top hat',
  'wrapped gift': 'gift, present, wrapped gift',
  airplane: 'airplane, plane',
  balloon: 'balloon, red balloon',
  bell: 'bell, golden bell',
  bicycle: 'bicycle, bike',
  bus: 'bus',
  camera: 'camera',
  car: 'car, red car',
  castle: 'castle',
  crown: 'crown, golden crown',
  drum: 'drum',
  guitar: 'guitar',
  house: 'house',
  key: 'key',
  rainbow: 'rainbow',
  rocket: 'rocket, rocket ship',
  sailboat: 'sailboat, boat',
  snowman: 'snowman',
  star: 'star, yellow star',
  sun: 'sun',
  tractor: 'tractor',
  umbrella: 'umbrella',
}

/** @throws ArgumentError for names that the catalogue lacks */
export function nounsOf(words: Readonly<Record<string, string>>): Noun[] {
  const icons = new Map(stickerCatalogue().map((icon) => [icon.name, icon]))
  return Object.entries(words).map(([name, list]) => {
    const icon = icons.get(name)
    if (!icon) throw new ArgumentError(`scenes: the catalogue has no ${JSON.stringify(name)}`)
    return { icon, words: list.split(/,\s*/) }
  })
}

/**
 * The vocabulary of scenes, or those of it that are named by their first words.
 *
 * @throws ArgumentError for a name that is none
 */
export function sceneNouns(names?: readonly string[]): Noun[] {
  const all = nounsOf(known)
  const found = names?.map((name) => {
    const noun = all.find(({ words: [word] }) => word === name)
    if (!noun)
      throw new ArgumentError(
        `scenes: there is no ${JSON.stringify(name)}; there are ${all.map(({ words: [word] }) => word).join(', ')}`,
      )
    return noun
  })
  return found ?? all
}

const irregular: Readonly<Record<string, string>> = {
  fish: 'fish',
  leaf: 'leaves',
  mouse: 'mice',
  snowman: 'snowmen',
  wolf: 'wolves',
}

/** `slice of pizza` → `slices of pizza`. */
export function pluralOf(word: string): string {
  const [, before = '', head = '', after = ''] = /^(.*?)([^ ]+?)( of .*)?$/.exec(word) ?? []
  const ends = [...Object.entries(irregular)].find(([one]) => head === one)
  const many = ends
    ? ends[1]
    : /[^aeiou]y$/.test(head)
      ? `${head.slice(0, -1)}ies`
      : /(s|x|ch|sh|tomato)$/.test(head)
        ? `${head}es`
        : `${head}s`
  return before + many + after
}

/** Whether there can be two of it: not of `grapes`. */
export const isCounted = (word: string): boolean => withArticle(word) !== word && !withArticle(word).startsWith('the ')
