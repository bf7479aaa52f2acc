import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { TopologyRecord } from '../../evidence/topology-record.ts'

const lines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim().replaceAll(/\s+/g, ' '))
    .filter(Boolean)

/** Without when and by which version it was printed, and without counters: they count traffic, not state. Tables, chains, rules and their order stay. */
const ruleDump = (text: string) =>
  lines(text)
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/^\[\d+:\d+\] /, '').replace(/ \[\d+:\d+\]$/, ''))

/**
 * A listening TCP socket without its process, inode, cookie and control group, which each start makes anew, and without how much waits in it.
 * The order of `ss` is that of a hash table.
 */
const listeners = (text: string) =>
  lines(text)
    .map((line) => line.replace(/^tcp /, ''))
    .filter((line) => /^LISTEN \d+ \d+ \S+:150\d\d .* ino:/.test(line))
    .map((line) => {
      const [, , backlog, local, peer, ...rest] = line.split(' ')
      return [backlog, local, peer, ...rest.filter((word) => /^(fwmark|v6only):/.test(word))].join(' ')
    })
    .sort()

/** Rules of Istio's own chain and the jump to it; kube-proxy's rules for Istio's services name its namespace, not the chain. */
const hostRules = (text: string) => ruleDump(text).filter((line) => /\bISTIO_/.test(line))

/** The sets' names, types and limits. Revision, memory and hash parameters are of the kernel's version. */
const sets = (text: string) =>
  text
    .slice(text.indexOf('Name: '))
    .split('Name: ')
    .slice(1)
    .map((set) => {
      const members = lines(set.slice(set.indexOf('Members:') + 8))
      return { head: [set.split('\n')[0], set.match(/Type: .*/)?.[0], set.match(/Header: .* comment/)?.[0]].join(', '), members }
    })

interface ConfigDump {
  workloads: { name: string; namespace: string; nativeTunnel?: boolean }[]
  services: object[]
  [key: string]: unknown
}
const keysOf = (x: object) => Object.keys(x).sort().join(' ')

/** What a release leaves: where its goldens are, and how much they must hold, so that an empty one proves nothing. */
export interface Golden {
  readonly folder: string
  readonly podRules: { readonly v4: number; readonly v6: number }
  /** A pod can opt out of DNS capture. */
  readonly podSettings: boolean
  /** Members of each probe set. */
  readonly sets: readonly number[]
}

export const goldens = {
  today: { folder: 'golden-inpod', podRules: { v4: 18, v6: 18 }, podSettings: true, sets: [2, 0] },
  // Written from inpod-mode 1.1, 1.5 and 1.9; listeners as today's.
  '1.21': { folder: 'golden-inpod-1.21', podRules: { v4: 15, v6: 0 }, podSettings: false, sets: [2] },
} as const satisfies Readonly<Record<string, Golden>>

/** @param bundle the bundle's folder */
export function kernelStateClaims(bundle: () => string, { folder, podRules, podSettings, sets: setSizes }: Golden): void {
  const golden = (file: string) => readFileSync(join(import.meta.dirname, '../fixtures', folder, file), 'utf8')
  const topology = () => JSON.parse(readFileSync(join(bundle(), 'topology.json'), 'utf8')) as TopologyRecord
  const enrolled = () => topology().pods.filter((p) => p.enrolled)
  const at = (label: string, node: string, netns: string, file: string) =>
    readFileSync(join(bundle(), 'snapshots', label, node, netns, file), 'utf8')
  type Pod = TopologyRecord['pods'][number]
  const ofPods = (file: string, which: (pod: Pod) => boolean = () => true) =>
    enrolled()
      .filter(which)
      .flatMap((p) =>
        ['before', 'after'].map((label) => [`${label} ${p.name}`, at(label, p.node, `${p.namespace}.${p.name}`, file)] as const),
      )
  const ofNodes = (file: string) =>
    topology().nodes.flatMap((n) =>
      ['before', 'after'].map((label) => [`${label} ${n.name}`, at(label, n.name, 'node', file), n.name] as const),
    )

  test('pods of the ambient namespace are enrolled and carry the annotation, others do not', () => {
    expect(JSON.parse(golden('pod-annotations.json'))).toMatchObject({ 'ambient.istio.io/redirection': 'enabled' })
    // `enrolled` is that annotation with that value, as the API had it when the run began.
    for (const pod of topology().pods) expect(`${pod.name} ${pod.enrolled}`).toBe(`${pod.name} ${pod.namespace === 'demo'}`)
    expect(enrolled().length).toBeGreaterThanOrEqual(8)
  })

  test.for([
    ['iptables-save.txt', podRules.v4],
    ['ip6tables-save.txt', podRules.v6],
  ] as const)('%s of every enrolled pod: table for table, chain for chain, in order', ([file, rules]) => {
    const expected = ruleDump(golden(`pod-${file}`))
    expect(expected.filter((line) => line.startsWith('-A')).length).toBe(rules)
    for (const [pod, text] of ofPods(file, (p) => !(podSettings && p.dnsUncaptured))) expect(ruleDump(text), pod).toEqual(expected)
    if (!podSettings) return
    // One that opted out of DNS capture has no raw table, and no rule for port 53.
    const raw = expected.slice(expected.indexOf('*raw'), expected.indexOf('COMMIT', expected.indexOf('*raw')) + 1)
    expect(raw.length).toBeGreaterThan(5)
    const without = expected
      .join('\n')
      .replace(`${raw.join('\n')}\n`, '')
      .split('\n')
      .filter((line) => !line.includes('--dport 53 '))
    const optedOut = ofPods(file, (p) => p.dnsUncaptured === true)
    expect(optedOut.length).toBeGreaterThan(0)
    for (const [pod, text] of optedOut) expect(ruleDump(text), pod).toEqual(without)
  })

  test('policy routing of every enrolled pod, both families', () => {
    const [v4 = '', v6 = ''] = golden('pod-ip-rule-route.txt').split('# -6\n')
    const isRule = (line: string) => /^\d+:/.test(line)
    // The dump of all routes says the table in each line, a dump of table 100 does not.
    const table100 = (text: string) =>
      lines(text)
        .filter((line) => line.includes(' table 100'))
        .map((line) => line.replace(' table 100', ''))
    const wanted = (text: string, rule: boolean) => lines(text).filter((line) => !line.startsWith('#') && isRule(line) === rule)
    expect(wanted(v4, false)).toHaveLength(1)
    expect(wanted(v6, false)).toHaveLength(podRules.v6 > 0 ? 1 : 0)
    for (const [pod, text] of ofPods('ip-rule.txt')) expect(lines(text), pod).toEqual(wanted(v4, true))
    for (const [pod, text] of ofPods('ip6-rule.txt')) expect(lines(text), pod).toEqual(wanted(v6, true))
    for (const [pod, text] of ofPods('ip-route.txt')) expect(table100(text), pod).toEqual(wanted(v4, false))
    for (const [pod, text] of ofPods('ip6-route.txt')) expect(table100(text), pod).toEqual(wanted(v6, false))
  })

  test("ztunnel's listeners in every enrolled pod: address, port, backlog, mark, and whether both families", () => {
    const expected = listeners(golden('pod-listen.txt'))
    expect(expected).toHaveLength(5)
    for (const [pod, text] of ofPods('ss.txt')) expect(listeners(text), pod).toEqual(expected)
  })

  test("the node's rules that name Istio", () => {
    const expected = hostRules(golden('node-host-rules-ipset.txt'))
    expect(expected).toHaveLength(3)
    for (const [node, text] of ofNodes('iptables-save.txt')) expect(hostRules(text), node).toEqual(expected)
  })

  test("the node's probe sets: the enrolled pods' addresses, with their uids as comments", () => {
    const expected = sets(golden('node-host-rules-ipset.txt'))
    expect(expected.map((s) => s.members.length)).toEqual(setSizes)
    for (const member of expected[0]!.members) expect(member).toMatch(/^[\d.]+ comment "[0-9a-f-]{36}"$/)
    for (const [label, text, node] of ofNodes('ipset.txt')) {
      const found = sets(text)
      expect(
        found.map((s) => s.head),
        label,
      ).toEqual(expected.map((s) => s.head))
      const [v4, ...others] = found
      const mine = enrolled().filter((p) => p.node === node)
      expect(v4?.members.toSorted(), label).toEqual(mine.map((p) => `${p.ip} comment "${p.uid}"`).sort())
      expect(
        others.flatMap((s) => s.members),
        label,
      ).toEqual([])
    }
  })
}

/** Facts 4.10, golden ztunnel-config-dump. */
export function configDumpClaims(bundle: () => string): void {
  const topology = () => JSON.parse(readFileSync(join(bundle(), 'topology.json'), 'utf8')) as TopologyRecord
  const enrolled = () => topology().pods.filter((p) => p.enrolled)

  test("the keys of ztunnel's config dump", () => {
    const expected = JSON.parse(
      readFileSync(join(import.meta.dirname, '../fixtures', goldens.today.folder, 'ztunnel-config-dump.json'), 'utf8'),
    ) as ConfigDump
    const kinds = (list: object[]) => new Set(list.map(keysOf))
    for (const { name } of topology().nodes) {
      const dump = JSON.parse(readFileSync(join(bundle(), 'snapshots/before', name, 'config-dump.json'), 'utf8')) as ConfigDump
      expect(keysOf(dump)).toBe(keysOf(expected))
      expect(dump.workloads.length).toBeGreaterThanOrEqual(topology().pods.length)
      // A workload has `services` when it serves; Istio's own also has ones without a node, of headless externals.
      // The golden has no workload that speaks HBONE by itself: that is one key more (4.10).
      const native = topology().pods.filter((p) => p.tunnel)
      for (const { nativeTunnel, ...w } of dump.workloads) {
        expect([...kinds(expected.workloads)], w.name).toContain(keysOf(w))
        expect(nativeTunnel, w.name).toBe(native.some((p) => p.name === w.name && p.namespace === w.namespace) ? true : undefined)
      }
      expect(kinds(dump.services)).toEqual(kinds(expected.services))
      const states = dump.workloadState as Record<string, object>
      expect(Object.keys(states).sort()).toEqual(
        enrolled()
          .filter((p) => p.node === name)
          .map((p) => p.uid)
          .sort(),
      )
      expect(new Set(Object.values(states).map(keysOf))).toEqual(new Set(Object.values(expected.workloadState as object).map(keysOf)))
    }
  })
}
