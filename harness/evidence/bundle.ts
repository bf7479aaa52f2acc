import { z } from 'zod'
import type { Observation, PacketObservation } from './observation.ts'
import { BundleDirectory } from './parse/directory.ts'
import { EvidenceError } from './parse/error.ts'
import {
  type InterfaceLine,
  type MarkLine,
  parseConntrack,
  parseInterfaces,
  parseLosses,
  parseMarks,
  parseSockets,
} from './parse/events.ts'
import { type Line, parseJsonFile, parseLines } from './parse/jsonl.ts'
import { parseLoads, parseSightings, parseTimeline } from './parse/loads.ts'
import { parseLogs } from './parse/logs.ts'
import { markersInPackets, markersInTraces } from './parse/markers.ts'
import { parsePackets } from './parse/packets.ts'
import { RuleTexts } from './parse/rule-texts.ts'
import { readJson, readSnapshots, type Snapshots } from './parse/snapshots.ts'
import { parseTraces } from './parse/traces.ts'

export { EvidenceError } from './parse/error.ts'

/** The version of the bundle's layout that this code writes and reads. */
export const bundleSchema = 1

const manifestSchema = z.looseObject({
  schema: z.literal(bundleSchema),
  run: z.string(),
  provider: z.string(),
  mode: z.string(),
  release: z.string(),
  startedAt: z.union([z.string(), z.number()]),
  /** Absent: the run was killed. */
  endedAt: z.union([z.string(), z.number()]).optional(),
  environment: z.record(z.string(), z.union([z.string(), z.record(z.string(), z.string())])).optional(),
  /** Cells that were asked for and not run, and why. */
  notRun: z
    .array(
      z.object({
        id: z.string(),
        mode: z.string(),
        release: z.string(),
        axes: z.record(z.string(), z.string()).optional(),
        reason: z.string(),
      }),
    )
    .optional(),
})
export type Manifest = z.infer<typeof manifestSchema>

const objectSchema = z.record(z.string(), z.unknown())
export type JsonObject = z.infer<typeof objectSchema>

/** What the parts of a bundle are that the harness itself wrote; by default any JSON object. */
export interface BundleSchemas<Topology, Case, Attempt> {
  readonly topology: z.ZodType<Topology>
  readonly case: z.ZodType<Case>
  readonly attempt: z.ZodType<Attempt>
}

/** A saved run: expectations and evidence, no verdicts. */
export interface Bundle<Topology = JsonObject, Case = JsonObject, Attempt = JsonObject> {
  readonly directory: BundleDirectory
  readonly manifest: Manifest
  /** undefined: the run was killed before it was written. */
  readonly topology: Topology | undefined
  /** By file name. */
  readonly cases: readonly { readonly id: string; readonly value: Case }[]
  readonly traffic: readonly Line<Attempt>[]
  /** Names of the nodes that evidence is of. */
  readonly nodes: readonly string[]
  /** What was cut off or left out, in words. Grows when evidence is read. */
  readonly notes: string[]
}

/**
 * Opens a bundle: reads what the harness wrote, no evidence yet. A bundle of a killed run opens too; `notes` tell what was cut.
 * Throws EvidenceError (which file and line, what is wrong, what to do).
 */
export function openBundle(path: string): Bundle
export function openBundle<Topology, Case, Attempt>(
  path: string,
  schemas: BundleSchemas<Topology, Case, Attempt>,
): Bundle<Topology, Case, Attempt>
export function openBundle(path: string, schemas: BundleSchemas<unknown, unknown, unknown> = anything): Bundle<unknown, unknown, unknown> {
  const directory = new BundleDirectory(path)
  const notes: string[] = []
  if (!directory.exists())
    throw new EvidenceError(path, '', 'there is no such folder', 'Give the folder of a bundle: the one that holds bundle.json')
  const manifest = readManifest(directory)
  if (manifest.endedAt === undefined) notes.push('bundle.json: the run did not come to its end')
  const cases = directory
    .files('cases')
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      const value = readJson(directory, `cases/${name}`, schemas.case, notes)
      return value === undefined ? [] : [{ id: name.slice(0, -5), value }]
    })
  const traffic = directory.read('traffic.jsonl')
  return {
    directory,
    manifest,
    topology: readJson(directory, 'topology.json', schemas.topology, notes),
    cases,
    traffic: traffic ? parseLines(traffic, 'traffic.jsonl', schemas.attempt, notes) : [],
    nodes: directory.folders('evidence'),
    notes,
  }
}

const anything: BundleSchemas<unknown, unknown, unknown> = { topology: objectSchema, case: objectSchema, attempt: objectSchema }

function readManifest(directory: BundleDirectory): Manifest {
  const bytes = directory.read('bundle.json')
  if (!bytes)
    throw new EvidenceError(
      'bundle.json',
      '',
      `it is not in ${directory.path}`,
      'Give the folder of a bundle: the one that holds bundle.json',
    )
  const { schema } = parseJsonFile(bytes, 'bundle.json', z.looseObject({ schema: z.number() }))
  if (schema !== bundleSchema) {
    const fix = schema > bundleSchema ? 'Read it with a newer Everyhop' : 'Read it with the Everyhop that wrote it'
    throw new EvidenceError('bundle.json', '', `the bundle has schema ${schema}, this Everyhop reads schema ${bundleSchema}`, fix)
  }
  return parseJsonFile(bytes, 'bundle.json', manifestSchema)
}

type AnyBundle = Bundle<unknown, unknown, unknown>

/** Everything that the evidence of a bundle tells, by node, then kind, then the order of its file. Parsed once. Throws EvidenceError. */
export function observations(bundle: AnyBundle): readonly Observation[] {
  return kept(allObservations, bundle, () => [
    ...bundle.nodes.flatMap((node) => nodeObservations(bundle, node)),
    ...snapshots(bundle).observations,
    ...parseTimeline(bundle.directory.read('timeline.jsonl') ?? empty, 'timeline.jsonl', bundle.notes),
  ])
}

/** The packets of a node's capture, in the order of the file. */
export function packets(bundle: AnyBundle, node: string): readonly PacketObservation[] {
  const captured = kept(allPackets, bundle, () => new Map<string, PacketObservation[]>())
  let found = captured.get(node)
  if (!found) {
    const file = `evidence/${node}/packets.pcapng`
    const bytes = bundle.directory.read(file)
    const parsed = bytes ? parsePackets(bytes, file) : undefined
    if (parsed?.cutBytes) bundle.notes.push(`${file}: its last block was not finished and is left out (${parsed.cutBytes} bytes)`)
    found = parsed?.packets ?? []
    captured.set(node, found)
  }
  return found
}

/** The snapshots: labels, and rules as dumps that `compareRules` takes. */
export function snapshots(bundle: AnyBundle): Snapshots {
  return kept(allSnapshots, bundle, () => readSnapshots(bundle.directory, bundle.notes))
}

/** What was learnt of the interfaces of a node: MAC and IP addresses, peers. */
export function interfaces(bundle: AnyBundle, node: string): InterfaceLine[] {
  const file = `evidence/${node}/interfaces.jsonl`
  return parseInterfaces(bundle.directory.read(file) ?? empty, file, bundle.notes)
}

/** The markers that a node's collector was told to send. */
export function marks(bundle: AnyBundle, node: string): MarkLine[] {
  const file = `evidence/${node}/markers.jsonl`
  return parseMarks(bundle.directory.read(file) ?? empty, file, bundle.notes)
}

/** What a node's ztunnel said of itself in a snapshot; undefined: it was not asked. */
export function configDump(bundle: AnyBundle, snapshot: string, node: string): JsonObject | undefined {
  return readJson(bundle.directory, `snapshots/${snapshot}/${node}/config-dump.json`, objectSchema, bundle.notes)
}

function nodeObservations(bundle: AnyBundle, node: string): Observation[] {
  const { directory, notes } = bundle
  const lines = <T>(name: string, parse: (bytes: Buffer, file: string) => T[]): T[] => {
    const file = `evidence/${node}/${name}`
    const bytes = directory.read(file)
    return bytes ? parse(bytes, file) : []
  }
  const seen = packets(bundle, node)
  const rules = kept(allRuleTexts, bundle, () => new RuleTexts(snapshots(bundle).rules))
  const traces = lines('traces.jsonl', (bytes, file) => parseTraces(bytes, file, node, rules, notes))
  return [
    ...seen,
    ...traces.map(({ observation }) => observation),
    ...lines('conntrack.jsonl', (bytes, file) => parseConntrack(bytes, file, node, notes)),
    ...lines('sockets.jsonl', (bytes, file) => parseSockets(bytes, file, node, notes)),
    ...lines('logs.jsonl', (bytes, file) => parseLogs(bytes, file, node, notes)),
    ...lines('stats.jsonl', (bytes, file) => parseLosses(bytes, file, node, notes)),
    ...lines('loads.jsonl', (bytes, file) => parseLoads(bytes, file, node, notes)),
    ...lines('sightings.jsonl', (bytes, file) => parseSightings(bytes, file, node, notes)),
    ...markersInPackets(seen),
    ...markersInTraces(traces),
  ]
}

const empty = Buffer.alloc(0)
const allObservations = new WeakMap<AnyBundle, Observation[]>()
const allPackets = new WeakMap<AnyBundle, Map<string, PacketObservation[]>>()
const allSnapshots = new WeakMap<AnyBundle, Snapshots>()
const allRuleTexts = new WeakMap<AnyBundle, RuleTexts>()

function kept<T>(map: WeakMap<AnyBundle, T>, bundle: AnyBundle, make: () => T): T {
  let value = map.get(bundle)
  if (value === undefined) {
    value = make()
    map.set(bundle, value)
  }
  return value
}
