import { InpodRedirection } from './inpod/inpod.ts'
import { inpodReleases } from './inpod/releases.ts'
import { IptablesRedirection } from './iptables/node.ts'
import { iptablesReleases } from './iptables/releases.ts'
import type { AgentRelease, Redirection, RedirectionOptions } from './redirection.ts'

/** A mode in one of its releases. */
export interface ModeRelease {
  readonly release: AgentRelease
  readonly make: (options: RedirectionOptions) => Redirection
}

/** The modes by the value of AMBIENT_REDIRECT_MODE, and the releases of each by that of MESH_RELEASE: the only place that knows them by name. */
const modes: Readonly<Record<string, Readonly<Record<string, ModeRelease>>>> = {
  iptables: each(iptablesReleases, (release) => ({ release, make: (options) => new IptablesRedirection(options) })),
  inpod: each(inpodReleases, (release) => ({ release, make: (options) => new InpodRedirection({ ...options, release }) })),
}

/** @throws Error that names the modes, or the releases of the mode, that there are */
export function modeRelease(mode: string, release: string): ModeRelease {
  const releases = modes[mode]
  if (!releases) throw new Error(`AMBIENT_REDIRECT_MODE is ${JSON.stringify(mode)}: expected ${Object.keys(modes).join(', ')}`)
  const found = releases[release]
  if (!found) throw new Error(`MESH_RELEASE is ${JSON.stringify(release)}: mode ${mode} has ${Object.keys(releases).join(', ')}`)
  return found
}

function each<T, U>(record: Readonly<Record<string, T>>, to: (value: T) => U): Readonly<Record<string, U>> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, to(value)]))
}
