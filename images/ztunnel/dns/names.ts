/** A name under which a question may be known, and what was asked without its search domain when one was taken off. */
export interface Alias {
  readonly name: string
  readonly stripped?: string
}

/** Lower case, without the final dot. */
export function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

/**
 * All names that a question from a pod in `namespace` can mean, in the order they are tried: as asked, as a Kubernetes short name
 * (`svc`, `svc.ns`, `svc.ns.svc`), and both again with each search domain taken off.
 * @param domain cluster domain, e.g. cluster.local
 */
export function aliases(asked: string, namespace: string, domain: string, searchDomains: readonly string[]): Alias[] {
  const found = new Map<string, Alias>()
  const add = (name: string, stripped?: string) => {
    if (!found.has(name)) found.set(name, stripped === undefined ? { name } : { name, stripped })
  }
  const expand = (name: string, stripped?: string) => {
    add(name, stripped)
    for (const full of kubernetesNames(name, namespace, domain)) add(full, stripped)
  }
  const name = plainName(asked)
  expand(name)
  for (const search of searchDomains) {
    if (name.endsWith(`.${search}`)) {
      const rest = name.slice(0, -search.length - 1)
      expand(rest, rest)
    }
  }
  return [...found.values()]
}

function kubernetesNames(name: string, namespace: string, domain: string): string[] {
  const labels = name.split('.')
  if (labels.length === 1) return [`${name}.${namespace}.svc.${domain}`]
  if (labels.length === 2) return [`${name}.svc.${domain}`]
  if (labels.length === 3 && labels[2] === 'svc') return [`${name}.${domain}`]
  return []
}

/** The name itself, then `*.` forms of its parents down to two labels less: `a.b.c` → `a.b.c`, `*.b.c`, `*.c`. */
export function withWildcards(name: string): string[] {
  const labels = name.split('.')
  return [name, ...labels.slice(1).map((_, i) => `*.${labels.slice(i + 1).join('.')}`)]
}

export interface ResolverConfig {
  readonly nameservers: readonly string[]
  readonly search: readonly string[]
}

/** `nameserver` and `search` lines of a resolv.conf (resolv.conf(5)): up to three servers, the last search line wins. */
export function parseResolvConf(text: string): ResolverConfig {
  const nameservers: string[] = []
  let search: string[] = []
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'nameserver' && values[0] && nameservers.length < 3) nameservers.push(values[0])
    if (keyword === 'search' || keyword === 'domain') search = values.map(plainName)
  }
  return { nameservers, search }
}
