import { z } from 'zod'

/**
 * One request that was made for a case, and how it went from its client's point of view: a line of `traffic.jsonl`.
 * `main` is the request that is judged; `positive` must be served (an unmeshed request on the same nodes, or what a pooled case opens its
 * tunnel with); `negative` is the main request with its one decisive condition taken away.
 */
export const attemptSchema = z.object({
  case: z.string(),
  role: z.enum(['main', 'positive', 'opening', 'negative']),
  /** Travels in the body; 32 hexadecimal digits. */
  token: z.string(),
  /** Wall clock, microseconds: after the marker before it and before the marker after it came out of all streams. */
  window: z.object({ from: z.number(), to: z.number() }),
  /** Ids of the markers around it. */
  markers: z.object({ before: z.string(), after: z.string() }),
  client: z.object({ node: z.string(), netns: z.string() }),
  server: z.object({ node: z.string(), netns: z.string() }),
  request: z.object({
    protocol: z.enum(['http', 'http2', 'tcp', 'udp', 'dns']),
    host: z.string(),
    port: z.number(),
    resolver: z.string().optional(),
    question: z.object({ name: z.string(), transport: z.enum(['udp', 'tcp']) }).optional(),
    exchange: z.enum(['echo', 'client-half-close', 'server-half-close', 'server-first', 'bulk']).optional(),
  }),
  /** Negative controls: what was taken away. */
  without: z.string().optional(),
  result: z.object({
    ok: z.boolean(),
    status: z.number().optional(),
    /** The token came back in the answer. */
    echoed: z.boolean(),
    /** What a name server answered. */
    answer: z.object({ from: z.string(), localPort: z.number(), code: z.string(), addresses: z.array(z.string()) }).optional(),
    /** Of a bulk exchange: what the client sent, and what it got. */
    sent: z.object({ bytes: z.number(), sha256: z.string() }).optional(),
    received: z.object({ bytes: z.number(), sha256: z.string() }).optional(),
    localAddress: z.string().optional(),
    localPort: z.number().optional(),
    error: z.object({ code: z.string(), message: z.string(), phase: z.string() }).optional(),
    startedAt: z.number(),
    endedAt: z.number(),
  }),
})

export type Attempt = z.infer<typeof attemptSchema>
