import { onPath, usersDocker } from '../../../clusters/kind/docker/find-docker.ts'
import { machinesGo } from '../../../clusters/kind/go.ts'
import type { Finding } from './finding.ts'

const repair = 'everyhop doctor --fix'

/** What clusters of kind need besides. Only warnings: the lab needs none of it. */
export async function dockerFindings(): Promise<Finding[]> {
  return Promise.all([docker(), tools()])
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

async function tools(): Promise<Finding> {
  const base = { id: 'kind', title: 'kind, and what its node image is built with' }
  const lacking = ['mmdebstrap', 'curl', 'unzip'].filter((tool) => !onPath(tool))
  if (lacking.length > 0) return { ...base, state: 'warning', detail: `no ${lacking.join(', ')}`, fix: repair }
  const kind = onPath('kind') ? 'kind is on PATH' : 'kind is built when it is first needed'
  const go = (await machinesGo()) ?? 'brought from the module proxy when it is first needed'
  return { ...base, state: 'ok', detail: `${kind}; Go: ${go}` }
}
