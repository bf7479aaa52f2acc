import { expect, test } from 'vitest'
import type { Evidence } from '../../report.ts'
import { evidenceOf } from './grouping.ts'

const evidence = [
  { kind: 'trace', walk: 3, line: 2 },
  { kind: 'trace', walk: 3, line: 1 },
  { kind: 'packet' },
  { kind: 'conntrack', fields: {} },
  { kind: 'packet' },
].map((e, i) => ({ ref: `r${i}`, at: 'one/node', t: i, ...e }) as unknown as Evidence)
const told = (kind: string, refs: number[]) => {
  const { main, ports } = evidenceOf({ kind, refs }, (i) => evidence[i]!)
  return { main: main.map((s) => [s.evidence.ref, ...s.lines]), ports: ports.map((s) => s.evidence.ref) }
}

test('lines of one walk are shown together', () => {
  expect(told('trace', [0, 1, 2])).toEqual({ main: [['r0', 2, 1]], ports: ['r2'] })
})

test('what only tells a port is apart from what proves', () => {
  expect(told('packet', [2, 3, 4])).toEqual({ main: [['r2']], ports: ['r3', 'r4'] })
  expect(told('conntrack', [3, 2])).toEqual({ main: [['r3']], ports: ['r2'] })
  expect(told('token', [2, 4, 3])).toEqual({ main: [['r2'], ['r4']], ports: ['r3'] })
})
