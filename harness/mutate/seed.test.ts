import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { disruptionsOf } from '../disruption/cells.ts'
import { promised } from '../judge/testing.ts'
import { casesOf, shortId } from '../matrix/cases.ts'
import type { Fault, PatchSeed } from '../modes/fault.ts'
import { completeMeshes, faultsOf } from '../modes/index.ts'
import { patchedCopy, patchedFiles } from './seed.ts'

const loadChecks = ['lost', 'duplicated', 'readable', 'established'].map((id) => `load/${id}`)
const checks = ['outcome', 'sentinel', 'closed-world', 'reused', 'bytes'].map((id) => `case/${id}`)

const families: Readonly<Record<string, string>> = {
  ...{ ip6tables: 'iptables', '"ip","-6"': '"ip"', inet6: 'inet', '-v6': '-v4' },
  ...{ '::1/128': '127.0.0.1/32', '::/0': '0.0.0.0/0' },
}

const catalogues = completeMeshes.map(({ mode, release }) => [mode, release] as const)

describe.for(catalogues)('faults of mode %s, release %s', ([mode, release]) => {
  const faults = faultsOf(mode, release)
  const { expectations } = promised(mode, release)
  const loads = new Set(disruptionsOf(mode, release).map(shortId))
  const ids = new Set([...casesOf(mode, release).map(shortId), ...loads])

  const real = faults.filter((f) => f.equivalent === undefined)

  test('there are at least thirty that can be told from none, each with an id of its own; at most a tenth cannot', () => {
    expect(real.length).toBeGreaterThanOrEqual(30)
    expect(faults.length - real.length).toBeLessThanOrEqual(faults.length / 10)
    expect(new Set(faults.map((f) => f.id)).size).toBe(faults.length)
    expect(new Set(faults.map((f) => JSON.stringify(f.seed))).size).toBe(faults.length)
  })

  test('the same rule in IPv4 and IPv6 is one fault', () => {
    const inV4 = (f: Fault) => JSON.stringify(f.seed).replaceAll(/ip6tables|"ip","-6"|inet6|-v6|::1\/128|::\/0/g, (v6) => families[v6]!)
    expect(new Set(faults.map(inV4)).size).toBe(faults.length)
  })

  test.for(faults.map((f) => [f.id, f] as const))('%s names cases that exist, and a hop of one of them that must catch it', ([, fault]) => {
    for (const name of fault.cases) expect(ids).toContain(name)
    expect(fault.cases).toContain(fault.breaks.case)
    if (loads.has(fault.breaks.case)) return expect(loadChecks).toContain(fault.breaks.hop)
    const { path } = expectations.find((e) => shortId(e.case) === fault.breaks.case)!
    expect([...path.legs.flatMap((l) => l.hops.map((h) => h.id)), ...checks]).toContain(fault.breaks.hop)
  })

  test.for(faults.flatMap((f) => (f.seed.kind === 'patch' ? [[f.id, { ...f, seed: f.seed }] as const] : [])))(
    '%s finds its place in the code',
    ([, fault]) => {
      expect(patchedFiles(fault).size).toBeGreaterThan(0)
    },
  )
})

const patch = (...edits: PatchSeed['edits']) => ({
  id: 'x',
  title: '',
  cases: [],
  breaks: { case: '', hop: '' },
  seed: { kind: 'patch', image: 'ztunnel', edits } as const,
})

test('a copy is whole, with the edits in it, several in one file too', () => {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-patch-'))
  try {
    const ward = (find: string, replace: string) => ({ file: 'ztunnel/ward.ts', find, replace })
    patchedCopy(
      patch(ward('return own && ask', 'return own || ask'), ward('own || ask', 'own ?? ask'), {
        file: 'ztunnel/made.ts',
        find: '',
        replace: 'x',
      }),
      directory,
    )
    const read = (file: string) => readFileSync(join(directory, 'images', file), 'utf8')
    expect(read('ztunnel/ward.ts')).toContain('return own ?? ask')
    expect(read('ztunnel/made.ts')).toBe('x')
    expect(read('ztunnel/main.ts')).toBe(readFileSync(join(import.meta.dirname, '../../images/ztunnel/main.ts'), 'utf8'))
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a file that a fault makes must not be there', () => {
  const makes = (file: string) => patchedFiles(patch({ file, find: '', replace: 'x' }))
  expect([...makes('ztunnel/not-there.ts').keys()]).toEqual(['ztunnel/not-there.ts'])
  expect(() => makes('ztunnel/ward.ts')).toThrow('it makes images/ztunnel/ward.ts, which is there already')
})

test('a place that is not there is said with the file', () => {
  expect(() => patchedFiles(patch({ file: 'ztunnel/ward.ts', find: 'no such text', replace: '' }))).toThrow(
    'fault x: "no such text" is 0 times in images/ztunnel/ward.ts',
  )
})
