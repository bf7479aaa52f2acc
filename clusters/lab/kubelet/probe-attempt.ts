import { closeSync, openSync } from 'node:fs'
import { request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { Socket } from 'node:net'
import { connect as secure } from 'node:tls'
import type { IntOrString, V1Probe } from '@kubernetes/client-node'
import { AF_INET, AF_INET6, SOCK_STREAM } from '../../../images/lib/libc.ts'
import { socketInNetns } from '../../../images/lib/netns.ts'
import type { RunningContainer } from './container.ts'
import type { Container } from './pod.ts'

export interface ProbeTarget {
  /** Network namespace that a kubelet's probes come from: the node's. */
  readonly netnsPath: string
  readonly podIP: string
  readonly spec: Container
  readonly running: RunningContainer
}

/**
 * Does a probe once.
 * @returns why it failed, in the kubelet's words; undefined if it succeeded
 */
export async function attempt(probe: V1Probe, target: ProbeTarget): Promise<string | undefined> {
  const timeout = (probe.timeoutSeconds ?? 1) * 1000
  try {
    if (probe.httpGet) return await httpGet(probe.httpGet, target, timeout)
    if (probe.tcpSocket) return await tcpSocket(probe.tcpSocket, target, timeout)
    if (probe.exec) return await exec(probe.exec.command ?? [], target, timeout)
    return 'the probe has no handler that the lab’s kubelet knows (httpGet, tcpSocket, exec)'
  } catch (error) {
    return (error as Error).message
  }
}

/** A socket of the node's own namespace that is on its way to the address: made by this process, so a local socket of the node owns the packets. */
function dial(netnsPath: string, host: string, port: number): Socket {
  const netns = openSync(netnsPath, 'r')
  try {
    const socket = new Socket({ fd: socketInNetns(netns, host.includes(':') ? AF_INET6 : AF_INET, SOCK_STREAM) })
    // Who uses the socket hears of its errors too; this one is for those that come after.
    socket.on('error', () => {})
    socket.connect(port, host)
    return socket
  } finally {
    closeSync(netns)
  }
}

function httpGet(get: NonNullable<V1Probe['httpGet']>, target: ProbeTarget, timeout: number): Promise<string | undefined> {
  const host = get.host || target.podIP
  const port = portNumber(get.port, target.spec)
  const https = get.scheme === 'HTTPS'
  const path = get.path?.startsWith('/') ? get.path : `/${get.path ?? ''}`
  const headers: Record<string, string> = { 'User-Agent': 'kube-probe/1.34', Accept: '*/*', Connection: 'close' }
  for (const { name, value } of get.httpHeaders ?? []) headers[name] = value
  return new Promise((resolve) => {
    const socket = dial(target.netnsPath, host, port)
    // No agent: with one, createConnection would be ignored and the request would leave from this process's own namespace.
    const createConnection = () => (https ? secure({ socket, rejectUnauthorized: false }) : socket)
    const url = `${https ? 'https' : 'http'}://${host}:${port}${path}`
    const sent = (https ? secureRequest : request)({ host, port, path, headers, createConnection })
    const end = (problem?: string) => {
      clearTimeout(timer)
      sent.destroy()
      socket.destroy()
      resolve(problem)
    }
    const timer = setTimeout(end, timeout, `Get ${JSON.stringify(url)}: context deadline exceeded`)
    sent.on('error', (error) => end(`Get ${JSON.stringify(url)}: ${error.message}`))
    sent.on('response', (response) => {
      const status = response.statusCode ?? 0
      response.resume()
      response.on('error', () => end())
      response.on('end', () => end(status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`))
    })
    sent.end()
  })
}

function tcpSocket(to: NonNullable<V1Probe['tcpSocket']>, target: ProbeTarget, timeout: number): Promise<string | undefined> {
  const host = to.host || target.podIP
  const port = portNumber(to.port, target.spec)
  return new Promise((resolve) => {
    const socket = dial(target.netnsPath, host, port)
    const end = (problem?: string) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(problem)
    }
    const timer = setTimeout(end, timeout, `dial tcp ${host}:${port}: i/o timeout`)
    socket.once('connect', () => end())
    socket.once('error', (error) => end(`dial tcp ${host}:${port}: ${error.message}`))
  })
}

function exec(argv: readonly string[], target: ProbeTarget, timeout: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = target.running.exec(argv)
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-1000)
      })
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      resolve(`command ${JSON.stringify(argv.join(' '))} timed out`)
    }, timeout)
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve(code === 0 ? undefined : output.trim() || `exit code ${code}`)
    })
  })
}

/** A port of a probe: a number, or the name of one of the container's. */
export function portNumber(port: IntOrString, spec: Container): number {
  if (typeof port === 'number') return port
  if (/^\d+$/.test(port)) return Number(port)
  const named = spec.ports?.find((p) => p.name === port)
  if (!named) throw new Error(`container ${spec.name} has no port named ${JSON.stringify(port)}`)
  return named.containerPort
}
