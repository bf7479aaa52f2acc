import { attributes, dumpOnce, NETLINK_NETFILTER, text } from './netlink.ts'
import { traceTable } from './trace-rules.ts'

// include/uapi/linux/netfilter/nf_tables.h
const NFT_MSG_GETRULE = (10 << 8) | 7
const NFT_MSG_NEWRULE = (10 << 8) | 6
const NFTA_RULE_TABLE = 1
const NFTA_RULE_CHAIN = 2
const NFTA_RULE_HANDLE = 3
const families: Record<number, string> = { 1: 'inet', 2: 'ip', 10: 'ip6' }

/** Rule handles in the order of the rules: family → table → chain → handles. With iptables-save's text, whose lines have the same order, each handle of a trace line is a rule. */
export type Handles = Record<string, Record<string, Record<string, number[]>>>

/** The rules of one namespace, without our own tables. */
export function dumpHandles(netns: number): Handles {
  return dumpOnce(netns, NETLINK_NETFILTER, NFT_MSG_GETRULE, Buffer.alloc(4), () => {
    const handles: Handles = { ip: {}, ip6: {} }
    const on = (type: number, body: Buffer) => {
      const family = families[body[0] ?? 0]
      if (type !== NFT_MSG_NEWRULE || family === undefined) return
      const a = attributes(body, 4)
      const table = text(a.get(NFTA_RULE_TABLE)) ?? ''
      if (table === traceTable) return
      const handle = Number(a.get(NFTA_RULE_HANDLE)!.readBigUInt64BE(0))
      const tables = child(handles, family, {})
      child(child(tables, table, {}), text(a.get(NFTA_RULE_CHAIN)) ?? '', [] as number[]).push(handle)
    }
    return { on, result: () => handles }
  })
}

/** The entry of that name, made when it is not there. */
function child<T>(parent: Record<string, T>, name: string, empty: T): T {
  const found = parent[name] ?? empty
  parent[name] = found
  return found
}
