/** What a value must be. */
export interface Kind {
  /** In words: `true or false`. */
  readonly is: string
  fits(value: unknown): boolean
}

const isMap = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
const scalar = (value: unknown) => ['string', 'number', 'boolean'].includes(typeof value)

/** Kinds of values that a values file holds. Helm writes everything into text, so a scalar is good where text is. */
export const kinds = {
  flag: { is: 'true or false', fits: (v) => typeof v === 'boolean' },
  text: { is: 'text', fits: (v) => typeof v === 'string' },
  count: { is: 'a whole number above 0', fits: (v) => Number.isInteger(v) && Number(v) > 0 },
  texts: { is: 'a list of texts', fits: (v) => Array.isArray(v) && v.every((x) => typeof x === 'string') },
  maps: { is: 'a list of maps', fits: (v) => Array.isArray(v) && v.every(isMap) },
  map: { is: 'a map', fits: isMap },
  words: { is: 'a map of names to text', fits: (v) => isMap(v) && Object.values(v).every(scalar) },
  resources: {
    is: 'a map with requests and limits, each of names to quantities',
    fits: (v) =>
      isMap(v) &&
      Object.entries(v).every(([name, q]) => ['requests', 'limits'].includes(name) && isMap(q) && Object.values(q).every(scalar)),
  },
} as const satisfies Record<string, Kind>

/** One name that a values file may hold, and what it does. */
export type Leaf =
  /** Goes into the settings at this path. */
  | { readonly does: 'sets'; readonly kind: Kind; readonly path: string }
  /** Is good only with what is done anyway. */
  | { readonly does: 'stays'; readonly allowed: readonly unknown[]; readonly reason: string }
  /** Is about something that is not made here. */
  | { readonly does: 'nothing'; readonly reason: string }

/** Names below a name. */
export interface Branch {
  readonly [name: string]: Leaf | Branch
}

export const isLeaf = (node: Leaf | Branch): node is Leaf => typeof node.does === 'string'

export const sets = (kind: Kind, path: string): Leaf => ({ does: 'sets', kind, path })
export const stays = (allowed: unknown, reason: string): Leaf => ({ does: 'stays', allowed: [allowed].flat(), reason })
export const nothing = (reason: string): Leaf => ({ does: 'nothing', reason })

/** Empty values say nothing: upstream's own files are full of them. */
export const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || value === '' || (typeof value === 'object' && Object.keys(value).length === 0)
