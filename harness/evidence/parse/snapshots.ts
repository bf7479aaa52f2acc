import { z } from 'zod'
import type { Observation } from '../observation.ts'
import type { BundleDirectory } from './directory.ts'
import { parseIptablesSave, type RuleDump, ruleObservations } from './iptables-save.ts'
import { decodeText, endsEarly, parseJsonFile } from './jsonl.ts'
import { type Handles, handlesSchema, type RuleSource } from './rule-texts.ts'
import { parseLinks, parseListeners, parsePolicyRules, parseRoutes, parseSets, parseSettings } from './state.ts'

/** The rules of one namespace in one snapshot. */
export interface SnapshotRules extends RuleSource {
  readonly snapshot: string
}

/** Everything that the snapshots of a bundle tell. */
export interface Snapshots {
  /** Labels in the order of time; those without a time by name, before the others. */
  readonly labels: readonly { readonly label: string; readonly t: number | undefined }[]
  readonly rules: readonly SnapshotRules[]
  readonly observations: readonly Observation[]
}

const metaSchema = z.looseObject({ t: z.number().optional() })

/** Reads `snapshots/`: `LABEL/NODE/NETNS/*.txt`. */
export function readSnapshots(directory: BundleDirectory, notes: string[]): Snapshots {
  const labels = directory.folders('snapshots').map((label) => ({ label, t: timeOf(directory, label, notes) }))
  labels.sort((a, b) => (a.t ?? Number.NEGATIVE_INFINITY) - (b.t ?? Number.NEGATIVE_INFINITY) || 0)
  const rules: SnapshotRules[] = []
  const observations: Observation[] = []
  for (const { label, t } of labels) {
    for (const node of directory.folders(`snapshots/${label}`)) {
      for (const netns of directory.folders(`snapshots/${label}/${node}`)) {
        const reader = new NamespaceReader(directory, { node, netns, snapshot: label }, t, notes)
        rules.push(...reader.rules())
        for (const source of reader.sources)
          observations.push(...ruleObservations(source.dump, source.file, { ...reader.taken, family: source.family }))
        observations.push(...reader.state())
      }
    }
  }
  return { labels, rules, observations }
}

function timeOf(directory: BundleDirectory, label: string, notes: string[]): number | undefined {
  return readJson(directory, `snapshots/${label}/meta.json`, metaSchema, notes)?.t
}

/** A JSON file; undefined when it is not there, or was cut by a kill, which `notes` tell. */
export function readJson<T>(directory: BundleDirectory, file: string, schema: z.ZodType<T>, notes: string[]): T | undefined {
  const bytes = directory.read(file)
  if (!bytes) return undefined
  if (endsEarly(bytes)) {
    notes.push(`${file}: it was not written to its end and is left out`)
    return undefined
  }
  return parseJsonFile(bytes, file, schema)
}

class NamespaceReader {
  readonly taken: { node: string; netns: string; snapshot: string }
  readonly sources: { family: 'ip' | 'ip6'; file: string; dump: RuleDump; backend?: 'legacy' }[] = []
  readonly #directory: BundleDirectory
  readonly #folder: string
  readonly #t: number | undefined
  readonly #notes: string[]

  constructor(
    directory: BundleDirectory,
    taken: { node: string; netns: string; snapshot: string },
    t: number | undefined,
    notes: string[],
  ) {
    this.#directory = directory
    this.taken = taken
    this.#t = t
    this.#notes = notes
    this.#folder = `snapshots/${taken.snapshot}/${taken.node}/${taken.netns}`
  }

  rules(): SnapshotRules[] {
    const handles: Handles = readJson(this.#directory, `${this.#folder}/handles.json`, handlesSchema, this.#notes) ?? {}
    for (const [family, name, backend] of [
      ['ip', 'iptables-save.txt', {}],
      ['ip6', 'ip6tables-save.txt', {}],
      ['ip', 'iptables-legacy-save.txt', { backend: 'legacy' }],
      ['ip6', 'ip6tables-legacy-save.txt', { backend: 'legacy' }],
    ] as const) {
      this.#text(name, (text, file) => {
        this.sources.push({ family, file, dump: parseIptablesSave(text, file, this.#notes), ...backend })
        return []
      })
    }
    return this.sources.map(({ file: _, ...source }) => ({ ...this.taken, t: this.#t, ...source, handles }))
  }

  state(): Observation[] {
    const { taken } = this
    return [
      ...this.#text('ip-rule.txt', (text, file) => parsePolicyRules(text, file, taken, 'ip')),
      ...this.#text('ip6-rule.txt', (text, file) => parsePolicyRules(text, file, taken, 'ip6')),
      ...this.#text('ip-route.txt', (text, file) => parseRoutes(text, file, taken, 'ip')),
      ...this.#text('ip6-route.txt', (text, file) => parseRoutes(text, file, taken, 'ip6')),
      ...this.#text('ipset.txt', (text, file) => parseSets(text, file, taken)),
      ...this.#text('links.txt', (text, file) => parseLinks(text, file, taken)),
      ...this.#text('settings.txt', (text, file) => parseSettings(text, file, taken)),
      ...this.#text('ss.txt', (text, file) => parseListeners(text, file, taken)),
    ]
  }

  #text(name: string, parse: (text: string, file: string) => Observation[]): Observation[] {
    const file = `${this.#folder}/${name}`
    const bytes = this.#directory.read(file)
    if (!bytes) return []
    const text = decodeText(bytes, file)
    const whole = text === '' || text.endsWith('\n') ? text : text.slice(0, text.lastIndexOf('\n') + 1)
    if (whole.length < text.length) this.#notes.push(`${file}: its last line was not finished and is left out`)
    return parse(whole, file)
  }
}
