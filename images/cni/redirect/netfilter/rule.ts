export type Family = 'v4' | 'v6'

/** One iptables rule: where it stands, and its text as iptables-save prints it (without `-A CHAIN`). */
export interface Rule {
  readonly table: 'mangle' | 'nat' | 'raw' | 'filter'
  readonly chain: string
  readonly spec: string
  /** Position in a built-in chain, from 1; none: at its end. */
  readonly position?: number
}

export const mangle = (chain: string, spec: string): Rule => ({ table: 'mangle', chain, spec })
export const nat = (chain: string, spec: string): Rule => ({ table: 'nat', chain, spec })
export const raw = (chain: string, spec: string): Rule => ({ table: 'raw', chain, spec })
export const filter = (chain: string, spec: string): Rule => ({ table: 'filter', chain, spec })
export const when = (condition: boolean, ...rules: Rule[]) => (condition ? rules : [])
