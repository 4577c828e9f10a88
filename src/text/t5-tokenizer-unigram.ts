/** A piece of a unigram vocabulary and its log-probability. */
export type ScoredPiece = readonly [piece: string, score: number]

/** What an unknown character costs below the worst piece. */
const penalty = 10

/**
 * The likeliest way to cut a word into pieces (Kudo 2018, section 3.2, by Viterbi's algorithm), as their numbers. What no piece covers is
 * unknown, character by character; unknown characters side by side are one.
 */
export function unigram(pieces: readonly ScoredPiece[], unknown: number): (word: string) => number[] {
  const ids = new Map<string, number>()
  let worst = Infinity
  let longest = 1
  for (const [id, [piece, score]] of pieces.entries()) {
    ids.set(piece, id)
    worst = Math.min(worst, score)
    longest = Math.max(longest, piece.length)
  }

  return (word) => {
    const { length } = word
    /** Of the best path to each position: its score, where its last piece starts, and that piece's number. */
    const score = new Float64Array(length + 1)
    const start = new Int32Array(length + 1).fill(-1)
    const last = new Int32Array(length + 1)
    const offer = (from: number, to: number, id: number, points: number) => {
      const total = points + (score[from] as number)
      if (start[to] !== -1 && !(total > (score[to] as number))) return
      score[to] = total
      start[to] = from
      last[to] = id
    }
    for (let from = 0; from < length; ) {
      const width = widthAt(word, from)
      let single = false
      for (let to = from + width; to <= Math.min(length, from + longest); to += widthAt(word, to)) {
        const id = ids.get(word.slice(from, to))
        if (id === undefined) continue
        offer(from, to, id, (pieces[id] as ScoredPiece)[1])
        single ||= to === from + width
      }
      if (!single) offer(from, from + width, unknown, worst - penalty)
      from += width
    }
    const found: number[] = []
    for (let to = length; to > 0; ) {
      let from = start[to] as number
      let id = last[to] as number
      if (id === unknown) {
        while (from > 0 && last[from] === unknown) from = start[from] as number
        id = ids.get(word.slice(from, to)) ?? unknown
      }
      found.push(id)
      to = from
    }
    return found.reverse()
  }
}

/** UTF-16 units of the character at a position; 1 at the end. */
const widthAt = (text: string, at: number): number => ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1)
