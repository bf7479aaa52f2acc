import { existsSync, statfsSync } from 'node:fs'
import type { Docker } from './docker/docker.ts'

const GiB = 2 ** 30

/** Bytes that a node writes: its images twice (as they came, and unpacked), etcd, logs; and what Docker itself needs to load an image. Measured: 0.9 GiB a node. */
const nodeBytes = 1.5 * GiB
const dockerBytes = 2 * GiB

/** @throws Error when the Docker's disk is too full for a cluster of that many nodes. One that is not this machine's is not looked at. */
export async function enoughRoom(docker: Docker, nodes: number): Promise<void> {
  const directory = await docker.run(['info', '--format', '{{.DockerRootDir}}'])
  if (existsSync(directory)) checkRoom(directory, nodes, statfsSync(directory))
}

export function checkRoom(directory: string, nodes: number, { bavail, bsize }: { bavail: number; bsize: number }): void {
  const [free, wanted] = [bavail * bsize, dockerBytes + nodes * nodeBytes]
  if (free >= wanted) return
  const [has, needs] = [free, wanted].map((bytes) => (bytes / GiB).toFixed(1))
  throw new Error(
    `${nodes} nodes need ${needs} GiB of disk, and ${directory} has ${has} GiB free; fix: make room there (docker system prune; everyhop clean --cache)`,
  )
}
