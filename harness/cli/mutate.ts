import { mkdirSync, writeFileSync } from 'node:fs'
import { join, matchesGlob } from 'node:path'
import { pathToFileURL } from 'node:url'
import { styleText } from 'node:util'
import type { Provider } from '../../clusters/create.ts'
import { loadTopology, TopologyError } from '../../clusters/topology.ts'
import { asExpected, countOutcomes, type FaultResult, type FaultResults, faultsSchema, gotThrough } from '../../reports/faults.ts'
import { template } from '../../reports/html/template.ts'
import type { Fault } from '../modes/fault.ts'
import { faultsOf, type Mesh, meshesOf } from '../modes/index.ts'
import { mutate } from '../mutate/mutate.ts'
import { faultsHtml } from '../report/faults-html.ts'
import { makeOutFolder, OutFolderError } from '../run/out-folder.ts'
import { newRunName } from '../run/run.ts'
import { writeAtomically } from '../run/write-atomically.ts'
import { whenAskedToEnd } from './asked-to-end.ts'
import { ProgressView } from './progress.ts'
import { mayMakeNamespaces } from './root.ts'
import { usage } from './run.ts'

export interface MutateArguments {
  readonly provider: Provider
  readonly mode: string
  /** @default the mode's usual one */
  readonly release?: readonly string[]
  readonly topology: string
  readonly fault: readonly string[]
  readonly list: boolean
  readonly out?: string
  readonly json: boolean
}

/** `everyhop mutate`. @returns 0 when the traffic caught every fault that can be told from none, 1 when one got through, 2 or 3 as everywhere */
export async function mutateVerb(args: MutateArguments): Promise<number> {
  let meshes: readonly Mesh[]
  try {
    meshes = meshesOf([args.mode], args.release)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return usage(error.message)
  }
  const asked = (f: Fault) => args.fault.length === 0 || args.fault.some((glob) => matchesGlob(f.id, glob))
  const catalogues = meshes
    .map(({ release }) => ({ release, faults: faultsOf(args.mode, release).filter(asked) }))
    .filter(({ faults }) => faults.length > 0)
  if (catalogues.length === 0)
    return usage(`no fault of mode ${args.mode} matches ${args.fault.join(' ')}; everyhop mutate --list shows all`)
  if (args.list) {
    const titles = new Map(catalogues.flatMap(({ faults }) => faults.map((f) => [f.id, f.title] as const)))
    const width = Math.max(...[...titles.keys()].map((id) => id.length)) + 2
    process.stdout.write(`${[...titles].map(([id, title]) => `${id.padEnd(width)}${title}`).join('\n')}\n`)
    return 0
  }
  let topology: ReturnType<typeof loadTopology>
  let out: string
  try {
    topology = loadTopology(args.topology)
    if (!mayMakeNamespaces('mutate')) return 3
    out = makeOutFolder(args.out ?? join('out', `mutate-${newRunName()}`))
  } catch (error) {
    if (!(error instanceof TopologyError || error instanceof OutFolderError)) throw error
    return usage(error.message)
  }
  const progress = new ProgressView(process.stderr)
  const ending = new AbortController()
  const interrupt = () => {
    progress.say('interrupted: taking everything down, the bundles and faults that are done stay')
    ending.abort(new Error('interrupted'))
  }
  whenAskedToEnd(interrupt)
  const app = template()
  // Told where it is needed; until then it is no crash.
  app.catch(() => {})
  const all: FaultResults[] = []
  let code = 0
  try {
    for (const { release, faults } of catalogues) {
      const folder = catalogues.length === 1 ? out : join(out, release)
      mkdirSync(folder, { recursive: true })
      const done: FaultResult[] = []
      const results = () => faultsSchema.parse({ schema: 1, mode: args.mode, release, provider: args.provider, faults: done })
      const onFault = (f: FaultResult) => {
        done.push(f)
        // After each: a run that is killed keeps those before.
        writeAtomically(join(folder, 'faults.json'), `${JSON.stringify(results(), null, 1)}\n`)
        progress.say(`${f.fault}: ${f.outcome}${f.traffic ? ` at ${f.traffic.hop}` : ''} (${(f.durationMs / 1000).toFixed(1)} s)`)
      }
      try {
        await mutate({ ...args, release, topology, faults, out: folder }, onFault, (what) => progress.doing(what), ending.signal)
      } finally {
        if (done.length > 0) {
          all.push(results())
          writeFileSync(join(folder, 'index.html'), faultsHtml(folder, await app))
        }
      }
    }
    if (all.some((r) => r.faults.some(gotThrough))) code = 1
  } catch (error) {
    code = 3
    progress.end()
    process.stderr.write(`everyhop: ${(error as Error).message}\n`)
  }
  progress.end()
  const [first] = all
  if (args.json) process.stdout.write(`${JSON.stringify(all.length === 1 ? first!.faults : all, null, 1)}\n`)
  else if (first) {
    const colour = process.stdout.isTTY === true
    const tables = all.map((r) => [...(all.length === 1 ? [] : [`release ${r.release}:`]), tableText(r.faults, { colour })].join('\n'))
    process.stdout.write(`${tables.join('\n\n')}\n`)
  }
  process.stderr.write(`the bundles are in ${out}\n`)
  for (const { release } of all) {
    const page = join(catalogues.length === 1 ? out : join(out, release), 'index.html')
    process.stderr.write(`look at them: ${pathToFileURL(page)}\n`)
  }
  return code
}

/** The kill matrix: fault, what caught it by traffic, whether that is the hop that was expected, and whether the state audit saw it too. */
export function tableText(caught: readonly FaultResult[], { colour }: { colour: boolean }): string {
  const mark = (text: string, style: Parameters<typeof styleText>[0]) => (colour ? styleText(style, text, { validateStream: false }) : text)
  const width = Math.max(...caught.map((c) => c.fault.length))
  const rows = caught.map((c) => {
    const name = c.fault.padEnd(width)
    const audit = c.audit ? 'audit too' : 'audit no '
    if (c.outcome === 'equivalent')
      return `${gotThrough(c) ? mark('✗', 'red') : '='} ${name}  ${audit}  equivalent to none: ${c.equivalent ?? 'nothing tells its run from a clean one, but it should'}`
    if (!c.traffic)
      return `${mark('✗', 'red')} ${name}  ${audit}  MISSED: ${c.why}; different: ${c.differences?.[0]} (${c.differences?.length} kept)`
    const where = `${c.traffic.case} at ${c.traffic.hop}`
    return `${mark('✓', 'green')} ${name}  ${audit}  ${where}${asExpected(c) ? '' : mark(` (expected ${c.expected.case} at ${c.expected.hop})`, 'yellow')}`
  })
  return [...rows, '', `${countOutcomes(caught)}; ${caught.filter((c) => c.audit).length} seen by the state audit`].join('\n')
}
