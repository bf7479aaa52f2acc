/** Rules by `TABLE CHAIN`, in order, of an iptables-save dump, with those chains that `empty` names also when they are empty. Order of tables and counters of chains differ between machines. */
export function chains(save: string, empty = /^:ISTIO_/): Record<string, string[]> {
  const out: Record<string, string[]> = {}
  let table = ''
  for (const line of save.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1)
    else if (empty.test(line)) out[`${table} ${line.slice(1).split(' ')[0]}`] = []
    else if (line.startsWith('-A ')) {
      const [, chain, spec] = /^-A (\S+) (.*)$/.exec(line)!
      const key = `${table} ${chain}`
      out[key] = [...(out[key] ?? []), spec!]
    }
  }
  return out
}
