import { readFileSync } from 'node:fs'
import { parseDocument } from 'yaml'
import { z } from 'zod'

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
