/** Where the reader is: all of it is in the address, so that it can be sent to somebody. */
export interface Route {
  readonly page: 'matrix' | 'case' | 'faults' | 'run'
  /** Key of a case. */
  readonly case?: string
  /** Id of the hop or check that is looked at. */
  readonly hop?: string
  /** Number of the packet that is looked at. */
  readonly packet?: number
  readonly fault?: string
  readonly q: string
  /** Values that cases must have, by axis; `verdict` and `mode` are axes too. */
  readonly filters: Readonly<Record<string, string>>
}

const own = new Set(['page', 'case', 'hop', 'packet', 'fault', 'q'])

export function parseRoute(hash: string, home: Route['page'] = 'matrix'): Route {
  const found = new URLSearchParams(hash.replace(/^#/, ''))
  const key = found.get('case')
  const packet = Number(found.get('packet') ?? Number.NaN)
  const page = found.get('page')
  const named = page === 'faults' || page === 'run' || page === 'matrix' ? page : home
  return {
    page: key ? 'case' : named,
    ...(key ? { case: key } : {}),
    ...(found.get('hop') ? { hop: found.get('hop')! } : {}),
    ...(Number.isInteger(packet) ? { packet } : {}),
    ...(found.get('fault') ? { fault: found.get('fault')! } : {}),
    q: found.get('q') ?? '',
    filters: Object.fromEntries([...found].filter(([name]) => !own.has(name))),
  }
}

/** @returns a hash to link to; the parts that are the default are left out */
export function routeHash(route: Partial<Route>, home: Route['page'] = 'matrix'): string {
  const out = new URLSearchParams()
  if (route.case) out.set('case', route.case)
  else if (route.page && route.page !== 'case' && route.page !== home) out.set('page', route.page)
  if (route.hop) out.set('hop', route.hop)
  if (route.packet !== undefined) out.set('packet', `${route.packet}`)
  if (route.fault) out.set('fault', route.fault)
  if (route.q) out.set('q', route.q)
  for (const [name, value] of Object.entries(route.filters ?? {})) if (value) out.set(name, value)
  return `#${out.toString().replaceAll('%2F', '/').replaceAll('%40', '@').replaceAll('%3A', ':')}`
}
