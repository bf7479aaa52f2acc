import { closeSync, mkdirSync, openSync, symlinkSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Readable } from 'node:stream'
import type { LabNode } from '../node/node.ts'

/** Nanoseconds between the Unix epoch and the start of the monotonic clock. */
let epoch = realTime() - process.hrtime.bigint()

/** Now, as RFC3339Nano in UTC: as fine as the monotonic clock, and never more than a millisecond from the wall clock. */
export function rfc3339nano(): string {
  let now = epoch + process.hrtime.bigint()
  if (Math.abs(Number(now / 1_000_000n) - Date.now()) > 1) {
    // The wall clock was set.
    now = BigInt(Date.now()) * 1_000_000n
    epoch = now - process.hrtime.bigint()
  }
  const seconds = new Date(Number(now / 1_000_000n)).toISOString().slice(0, 19)
  return `${seconds}.${(now % 1_000_000_000n).toString().padStart(9, '0')}Z`
}

function realTime(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n
}

/** Longest part of a line that is written at once (containerd's max_container_log_line_size). */
const longest = 16 * 1024

/** A container's log on its node: CRI's format, `TIME STREAM F|P TEXT`, at the path that the kubelet of a real node uses. */
export class LogFile {
  private readonly fd: number
  private readonly link: string
  private open = 0

  /** @param attempt the container's restart count, which names the file */
  constructor(node: LabNode, pod: { namespace: string; name: string; uid: string }, container: string, id: string, attempt: number) {
    const path = `/var/log/pods/${pod.namespace}_${pod.name}_${pod.uid}/${container}/${attempt}.log`
    const file = node.hostPath(path)
    mkdirSync(dirname(file), { recursive: true })
    this.fd = openSync(file, 'a')
    this.link = node.hostPath(`/var/log/containers/${pod.name}_${pod.namespace}_${container}-${id}.log`)
    symlinkSync(path, this.link)
  }

  /** Writes what comes out of the stream until it ends; the file is closed after the last stream. */
  follow(stream: Readable, name: 'stdout' | 'stderr'): void {
    let rest = ''
    this.open++
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() as string
      let text = lines.map((line) => this.line(name, line)).join('')
      while (rest.length >= longest) {
        text += `${rfc3339nano()} ${name} P ${rest.slice(0, longest)}\n`
        rest = rest.slice(longest)
      }
      if (text !== '') this.write(text)
    })
    const end = () => {
      if (rest !== '') this.write(`${rfc3339nano()} ${name} P ${rest}\n`)
      rest = ''
      if (--this.open === 0) closeSync(this.fd)
    }
    // 'close' comes after 'end' and after a destroyed stream alike.
    stream.once('close', end)
  }

  /** Takes the link of `/var/log/containers` away. The file stays, as on a real node, until the pod goes. */
  unlink(): void {
    try {
      unlinkSync(this.link)
    } catch {
      // Gone with its node.
    }
  }

  private line(stream: string, line: string): string {
    const time = rfc3339nano()
    let text = ''
    let from = 0
    for (; line.length - from > longest; from += longest) text += `${time} ${stream} P ${line.slice(from, from + longest)}\n`
    return `${text}${time} ${stream} F ${line.slice(from)}\n`
  }

  private write(text: string): void {
    try {
      writeSync(this.fd, text)
    } catch {
      // The node's disk went away under a dying container.
    }
  }
}
