import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import { type Branch, isEmpty, isLeaf, type Leaf } from './leaf.ts'
import { nearest } from './nearest.ts'
import type { MeshSettings } from './settings.ts'
import { known } from './table.ts'

/** What a values file asks for. Plain data. */
export interface MeshValues {
  /** How traffic is redirected, under our name. */
  readonly mode?: string
  readonly dnsCapture?: boolean
  readonly ipv6?: boolean
  readonly settings?: MeshSettings
}

/** A values file that cannot be followed: each place of it, why, and the fix. */
export class ValuesError extends Error {
  override name = 'ValuesError'
}

/** `redirectMode` of Istio up to 1.20, where in-pod redirection did not exist yet; `inpod` is our word for it. */
const redirectModes = ['inpod', 'iptables', 'ebpf']

/** @throws ValuesError also when the file cannot be read */
export function loadValues(file: string): ReturnType<typeof parseValues> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ValuesError(`${file}: it cannot be read: ${(error as Error).message}; fix: give the path of a YAML file`)
  }
  return parseValues(text, file)
}

/**
 * Reads upstream's values: an IstioOperator, its spec alone, or the values of its charts.
 * @returns what they ask for, and a note for each name that says something of what is not made here
 * @throws ValuesError with a line for each name that is not known, each value of a wrong type, and each that asks for something else than is made
 */
export function parseValues(text: string, file: string): { values: MeshValues; notes: string[] } {
  const documents = parseAllDocuments(text)
  const broken = documents.flatMap((d) => d.errors)[0]
  if (broken) throw new ValuesError(`${file}: ${broken.message.split('\n')[0]}; fix: correct the YAML`)
  if (documents.length > 1) throw new ValuesError(`${file}: it holds ${documents.length} documents; fix: one`)
  const content: unknown = documents[0]?.toJS() ?? {}
  if (!isMap(content)) throw new ValuesError(`${file}: it holds no map; fix: write names as upstream's values have them`)
  const reading = new Reading()
  if (content.kind === undefined) reading.walk(content, known, [])
  else if (content.kind !== 'IstioOperator')
    throw new ValuesError(`${file}: kind: ${content.kind} is no IstioOperator; fix: give one, or Helm values`)
  else {
    const { kind, apiVersion, metadata, spec, ...rest } = content
    reading.walk(rest, {}, [])
    reading.walk(isMap(spec) ? spec : {}, known, [], 'spec.')
  }
  const { mode, dnsCapture, ipv6, ...settings } = reading.found as MeshValues & MeshSettings
  if (mode !== undefined && !redirectModes.includes(mode))
    reading.problems.push(`values.cni.ambient.redirectMode: ${JSON.stringify(mode)} is not known; fix: one of ${redirectModes.join(', ')}`)
  if (reading.problems.length > 0) throw new ValuesError(reading.problems.map((problem) => `${file}: ${problem}`).join('\n'))
  return {
    values: {
      ...(mode === undefined ? {} : { mode }),
      ...(dnsCapture === undefined ? {} : { dnsCapture }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      ...(Object.keys(settings).length > 0 ? { settings } : {}),
    },
    notes: reading.notes,
  }
}

class Reading {
  readonly problems: string[] = []
  readonly notes: string[] = []
  readonly found: Record<string, unknown> = {}

  walk(map: Record<string, unknown>, branch: Branch, above: readonly string[], prefix = ''): void {
    for (const [name, value] of Object.entries(map)) {
      const path = [...above, name]
      const at = prefix + path.join('.')
      const node = Object.hasOwn(branch, name) ? branch[name] : undefined
      if (!node) {
        const near = nearest(path, known)
        this.problems.push(`${at} is not known; fix: ${near ? `did you mean ${prefix}${near}?` : 'take it out'}`)
      } else if (isLeaf(node)) this.leaf(at, value, node)
      else if (isMap(value)) this.walk(value, node, path, prefix)
      else if (!isEmpty(value))
        this.problems.push(`${at} is ${JSON.stringify(value)}; fix: a map with ${Object.keys(node).slice(0, 4).join(', ')} …`)
    }
  }

  private leaf(at: string, value: unknown, leaf: Leaf): void {
    if (isEmpty(value)) return
    const written = JSON.stringify(value)
    if (leaf.does === 'nothing') this.notes.push(`${at} has no effect: ${leaf.reason}`)
    else if (leaf.does === 'stays') {
      if (leaf.allowed.includes(value)) return
      const good = leaf.allowed.length > 0 ? `${leaf.allowed.map((a) => JSON.stringify(a)).join(' or ')}, or take it out` : 'take it out'
      this.problems.push(`${at}: ${written} is not supported: ${leaf.reason}; fix: ${good}`)
    } else if (leaf.kind.fits(value)) put(this.found, leaf.path.split('.'), value)
    else this.problems.push(`${at} is ${written}; fix: ${leaf.kind.is}`)
  }
}

function put(into: Record<string, unknown>, [first = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) into[first] = value
  else {
    into[first] ??= {}
    put(into[first] as Record<string, unknown>, rest, value)
  }
}

const isMap = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
