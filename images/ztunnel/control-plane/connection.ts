import { readFile } from 'node:fs/promises'
import type { Client, Metadata } from '@grpc/grpc-js'
import type { ControlPlaneServer } from './settings.ts'

/** Upstream's limit for one message, bytes. */
const maxMessage = 200 << 20
/** A server that vanished without a word is noticed after both, milliseconds. */
const keepalive = 10_000
const keepaliveTimeout = 20_000

/** gRPC takes 50 ms and 16 MB to load: it is loaded by who has a server to speak to, while other things start. */
export const loadGrpc = () => import('@grpc/grpc-js')

/**
 * A client of its own connection to `server`, not connected yet. The root certificates are read anew, so that replaced ones count.
 * @throws Error naming the file of the roots when it cannot be read
 */
export async function openClient(server: ControlPlaneServer): Promise<Client> {
  const [grpc, roots] = await Promise.all([loadGrpc(), readNamed(server.rootCa, 'root certificates of the control plane')])
  const host = server.host.includes(':') ? `[${server.host}]` : server.host
  return new grpc.Client(`${host}:${server.port}`, grpc.credentials.createSsl(Buffer.from(roots)), {
    ...(server.alternativeHost !== undefined && { 'grpc.ssl_target_name_override': server.alternativeHost }),
    'grpc.max_receive_message_length': maxMessage,
    'grpc.max_send_message_length': maxMessage,
    'grpc.keepalive_time_ms': keepalive,
    'grpc.keepalive_timeout_ms': keepaliveTimeout,
    // Who asks again, and when, is decided by the caller.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
  })
}

/**
 * Request metadata: the token of the moment, the cluster and the configured headers.
 * @throws Error naming the token's file when it cannot be read or is empty
 */
export async function requestMetadata(server: ControlPlaneServer, tokenPath: string, clusterId: string): Promise<Metadata> {
  const [grpc, token] = await Promise.all([loadGrpc(), readNamed(tokenPath, 'service-account token')])
  if (token.trim() === '') throw new Error(`service-account token: ${tokenPath} is empty`)
  const metadata = new grpc.Metadata()
  metadata.set('authorization', `Bearer ${token.trim()}`)
  metadata.set('clusterid', clusterId)
  for (const [name, value] of Object.entries(server.headers)) metadata.set(name, value)
  return metadata
}

async function readNamed(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new Error(`${what}: ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`)
  }
}
