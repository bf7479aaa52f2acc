import { type Branch, isLeaf } from './leaf.ts'

/** A name further away than this is another one, not a slip. */
const furthest = 3

/** The known path that whoever wrote this unknown one may have meant: the same name elsewhere, or one like it. @returns undefined: none is near */
export function nearest(path: readonly string[], known: Branch): string | undefined {
  const name = path.at(-1) ?? ''
  const parent = path.slice(0, -1)
  const [best] = paths(known)
    .map((candidate) => ({
      candidate,
      // A slip in a name is likelier than a wrong place, unless the name is there exactly.
      cost: distance(name.toLowerCase(), (candidate.at(-1) ?? '').toLowerCase()) * 4 + distanceOfPlaces(parent, candidate.slice(0, -1)),
      off: distance(name.toLowerCase(), (candidate.at(-1) ?? '').toLowerCase()),
    }))
    .filter(({ off }) => off <= Math.min(furthest, Math.floor(name.length / 2)))
    .sort((a, b) => a.cost - b.cost)
  return best?.candidate.join('.')
}

function paths(branch: Branch, above: readonly string[] = []): string[][] {
  return Object.entries(branch).flatMap(([name, node]) => {
    const path = [...above, name]
    return isLeaf(node) ? [path] : [path, ...paths(node, path)]
  })
}

/** Steps from one place to the other. */
function distanceOfPlaces(a: readonly string[], b: readonly string[]): number {
  let shared = 0
  while (shared < a.length && shared < b.length && a[shared] === b[shared]) shared++
  return a.length + b.length - 2 * shared
}

/** How many letters must be put in, taken out or changed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
