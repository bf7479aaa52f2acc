import { readdirSync, readFileSync } from 'node:fs'
import type { LabHandle } from '../cluster.ts'

/** How to get from the host into the namespaces of a node: what stands before a command's own words. */
export function enterNode({ initPid }: LabHandle['nodes'][number]): string[] {
  return ['nsenter', '-t', `${initPid}`, '-m', '-p', '-u', '-i', '-n', '--']
}

/**
 * How to get into those of a pod: of its container's first process, so that files and processes are the container's too; where no container runs,
 * into the pod's network with the node's files and processes.
 * @returns undefined when the pod has no process
 */
export function enterPod(uid: string, node: LabHandle['nodes'][number]): string[] | undefined {
  const members = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(uid)) return []
        const chain = /^NSpid:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]?.split(/\s+/) ?? []
        return [{ pid, depth: chain.length, first: chain.length > 1 && chain.at(-1) === '1' }]
      } catch {
        // It ended while we looked.
        return []
      }
    })
    .sort((a, b) => a.depth - b.depth)
  const container = members.find((m) => m.first)
  if (container) return ['nsenter', '-t', container.pid, '-m', '-p', '-u', '-i', '-n', '--']
  const [pause] = members
  const shared = ['net', 'uts', 'ipc'].map((name) => `--${name}=/proc/${pause?.pid}/ns/${name}`)
  return pause && ['nsenter', '-t', `${node.initPid}`, '-m', '-p', ...shared, '--']
}
