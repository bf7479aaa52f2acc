import { z } from 'zod'

/** `topology.json` of a bundle: who was there, with the addresses and ids that the run had. */
export const topologyRecordSchema = z.object({
  name: z.string(),
  nodes: z.array(z.object({ name: z.string(), address: z.string() })),
  pods: z.array(
    z.object({
      name: z.string(),
      namespace: z.string(),
      node: z.string(),
      uid: z.string(),
      ip: z.string(),
      app: z.enum(['sleep', 'httpbin']),
      serviceAccount: z.string(),
      enrolled: z.boolean(),
      /** It opted out of having its DNS questions captured. */
      dnsUncaptured: z.boolean().optional(),
      /** Its label says that it speaks HBONE by itself. */
      tunnel: z.boolean().optional(),
    }),
  ),
  services: z.array(
    z.object({
      name: z.string(),
      namespace: z.string(),
      clusterIP: z.string(),
      ports: z.array(z.object({ name: z.string(), port: z.number(), targetPort: z.number() })),
      /** Pods behind it, `NAMESPACE/NAME`. */
      pods: z.array(z.string()),
    }),
  ),
  /** Address of the cluster's name server. */
  resolver: z.string().optional(),
  /** The mesh's own pods whose namespaces and logs belong to the evidence. */
  proxies: z.array(z.object({ name: z.string(), namespace: z.string(), node: z.string(), uid: z.string() })),
})

export type TopologyRecord = z.infer<typeof topologyRecordSchema>
