import { onPath, usersDocker } from '../../../clusters/kind/docker/find-docker.ts'
import type { Finding } from './finding.ts'

const repair = 'everyhop doctor --fix'

/** What clusters of kind need besides. Only warnings: the lab needs none of it. */
export async function dockerFindings(): Promise<Finding[]> {
  return [await docker(), tools()]
}

async function docker(): Promise<Finding> {
  const base = { id: 'docker', title: 'a Docker for clusters of kind' }
  if (!onPath('docker')) return { ...base, state: 'warning', detail: 'no docker on PATH', fix: repair }
  const found = await usersDocker()
  if (typeof found !== 'string') return { ...base, state: 'ok', detail: `the one at ${found.place.host ?? 'its usual place'}` }
  const own = process.getuid?.() === 0 && onPath('dockerd')
  if (own) return { ...base, state: 'ok', detail: `${found}; one of our own is used` }
  return { ...base, state: 'warning', detail: found, fix: process.getuid?.() === 0 ? repair : 'start Docker, or start everyhop as root' }
}

function tools(): Finding {
  const base = { id: 'kind', title: 'kind, and what its node image is built with' }
  const lacking = [
    ...(onPath('go') ? [] : ['go (1.24 or newer; from your distribution or go.dev)']),
    ...(onPath('mmdebstrap') ? [] : ['mmdebstrap (apt-get install -y --no-install-recommends mmdebstrap)']),
  ]
  if (lacking.length === 0)
    return { ...base, state: 'ok', detail: onPath('kind') ? 'kind is on PATH' : 'kind is built when it is first needed' }
  return { ...base, state: 'warning', detail: `no ${lacking.map((x) => x.split(' ')[0]).join(', ')}`, fix: `install ${lacking.join('; ')}` }
}
