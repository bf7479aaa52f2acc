import { readFileSync } from 'node:fs'
import type { V1PodSpec } from '@kubernetes/client-node'
import type { Container } from './pod.ts'

/** linux/capability.h, in the order of their numbers. */
const names = (
  'chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin net_raw ' +
  'ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod ' +
  'lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore'
).split(' ')

/** What containerd gives to an ordinary container (0xa80425fb). */
const ordinary =
  'chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap'.split(' ')

/** Who a container's process is and what it may do. */
export interface Security {
  readonly user: number
  readonly group: number
  readonly groups: readonly number[]
  /** Lower-case names without `cap_`; undefined: all that the node has. */
  readonly capabilities: readonly string[] | undefined
  readonly noNewPrivileges: boolean
  readonly readOnlyRoot: boolean
}

/**
 * The pod's and the container's securityContext together; the container's wins.
 * @throws Error for a capability that Linux does not have
 */
export function securityOf(spec: V1PodSpec, container: Container): Security {
  const pod = spec.securityContext ?? {}
  const own = container.securityContext ?? {}
  const user = own.runAsUser ?? pod.runAsUser ?? 0
  if ((own.runAsNonRoot ?? pod.runAsNonRoot) && user === 0)
    throw new Error(`container has runAsNonRoot and image will run as root (container: ${container.name})`)
  return {
    user,
    group: own.runAsGroup ?? pod.runAsGroup ?? 0,
    groups: [...(pod.fsGroup === undefined ? [] : [pod.fsGroup]), ...(pod.supplementalGroups ?? [])],
    capabilities: own.privileged ? undefined : capabilities(own.capabilities?.add ?? [], own.capabilities?.drop ?? []),
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    readOnlyRoot: own.readOnlyRootFilesystem === true,
  }
}

function capabilities(add: readonly string[], drop: readonly string[]): string[] {
  const short = (name: string) => name.toLowerCase().replace(/^cap_/, '')
  for (const name of [...add, ...drop])
    if (short(name) !== 'all' && !names.includes(short(name)))
      throw new Error(`unknown capability ${JSON.stringify(name)} in securityContext.capabilities`)
  const added = add.map(short)
  const dropped = drop.map(short)
  const start = added.includes('all') ? names : dropped.includes('all') ? [] : ordinary
  const kept = start.filter((name) => !dropped.includes(name))
  // "add" is looked at after "drop": drop ALL with an add is how manifests name a whole set.
  return [...new Set([...kept, ...added.filter((name) => name !== 'all')])]
}

/** The command in front of a container's own that gives rights away (setpriv(1)); empty when there is nothing to give away. */
export function setpriv(security: Security): string[] {
  const { user, group, groups, capabilities, noNewPrivileges } = security
  const args: string[] = []
  if (user !== 0) args.push('--reuid', String(user))
  if (group !== 0 || user !== 0 || groups.length > 0) {
    args.push('--regid', String(group))
    args.push(...(groups.length > 0 ? ['--groups', groups.join(',')] : ['--clear-groups']))
  }
  if (capabilities) {
    const held = capabilities.filter((name) => mine().has(name))
    args.push('--inh-caps', '-all', '--bounding-set', ['-all', ...held.map((name) => `+${name}`)].join(','))
  }
  if (noNewPrivileges) args.push('--no-new-privs')
  return args.length > 0 ? ['/usr/bin/setpriv', ...args, '--'] : []
}

let bounding: ReadonlySet<string> | undefined

/** Capabilities of this process's bounding set: a container on this host cannot have more. */
function mine(): ReadonlySet<string> {
  if (!bounding) {
    const mask = BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`)
    bounding = new Set(names.filter((_, number) => (mask >> BigInt(number)) & 1n))
  }
  return bounding
}
