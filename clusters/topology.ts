import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Document, isNode, LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { checkReferences } from './topology-references.ts'

const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a DNS label: lower-case letters, digits and dashes, at most 63')
const labels = z.record(z.string(), z.string())

const podSchema = z.strictObject({
  name,
  namespace: name,
  node: name,
  /** Which of our apps runs in it. */
  app: z.enum(['sleep', 'httpbin']),
  /** @default the pod's own name */
  serviceAccount: name.optional(),
  labels: labels.default({}),
  annotations: labels.default({}),
})

const serviceSchema = z.strictObject({
  name,
  namespace: name,
  selector: labels,
  /** `None` makes it headless. */
  clusterIP: z.literal('None').optional(),
  ports: z.array(z.strictObject({ name, port: z.int().min(1).max(65535), targetPort: z.int().min(1).max(65535) })).min(1),
})

const topologySchema = z.strictObject({
  name,
  nodes: z.array(name).min(1),
  /** How pods are attached to their node: a link for each, or one bridge. @default ptp */
  network: z.enum(['ptp', 'bridge']).optional(),
  namespaces: z.record(name, z.strictObject({ labels: labels.default({}) })),
  pods: z.array(podSchema).min(1),
  services: z.array(serviceSchema).default([]),
})

export type Topology = z.infer<typeof topologySchema>
export type TopologyPod = Topology['pods'][number]
export type TopologyService = Topology['services'][number]

/** A topology that cannot be used: which file, where in it, what to change. */
export class TopologyError extends Error {
  override name = 'TopologyError'
}

const shipped = new URL('topologies/', import.meta.url)

/** A mistake in a topology: the path of the value, such as `['pods', 2, 'node']`, and what is wrong with it, with the fix. */
export interface TopologyProblem {
  readonly path: readonly (string | number)[]
  readonly message: string
}

/**
 * Reads and checks a topology.
 * @param nameOrPath name of a shipped topology (`two-nodes`), or path of a YAML file (anything with a `/` or ending in `.yaml` or `.yml`)
 * @throws TopologyError that names each mistake with file, line, path and fix
 */
export function loadTopology(nameOrPath: string): Topology {
  const isPath = nameOrPath.includes('/') || /\.ya?ml$/.test(nameOrPath)
  const file = isPath ? nameOrPath : fileURLToPath(new URL(`${nameOrPath}.yaml`, shipped))
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const names = readdirSync(shipped).map((name) => name.replace(/\.yaml$/, ''))
    const fix = isPath ? 'fix: give the path of a YAML file' : `fix: use one of ${names.join(', ')}, or the path of a YAML file`
    throw new TopologyError(`topology ${nameOrPath}: ${(error as Error).message}; ${fix}`)
  }
  return parseTopology(text, file)
}

/** @param file what errors call the text */
export function parseTopology(text: string, file: string): Topology {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  if (document.errors.length > 0) {
    const at = document.errors.map((e) => `${file}:${e.linePos?.[0].line ?? 1}: not YAML: ${e.message.split('\n')[0]}`)
    throw new TopologyError(`${at.join('\n')}\n  fix: correct the syntax there`)
  }
  let value: unknown
  try {
    value = document.toJS()
  } catch (error) {
    throw new TopologyError(`${file}:1: not YAML: ${(error as Error).message}\n  fix: write the value out instead of the alias`)
  }
  const parsed = topologySchema.safeParse(value)
  const problems: TopologyProblem[] = parsed.success
    ? checkReferences(parsed.data)
    : parsed.error.issues.map((issue) => ({ path: issue.path.filter((p) => typeof p !== 'symbol'), message: issue.message }))
  if (parsed.success && problems.length === 0) return parsed.data
  throw new TopologyError(
    problems.map(({ path, message }) => `${file}:${lineOf(document, lines, path)}: ${path.join('.') || 'topology'}: ${message}`).join('\n'),
  )
}

/** The line of the value at `path`, or of the nearest thing around it that is there. */
function lineOf(document: Document.Parsed, lines: LineCounter, path: readonly (string | number)[]): number {
  for (let length = path.length; length >= 0; length--) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return 1
}
