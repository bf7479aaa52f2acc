import { readdirSync, readFileSync } from 'node:fs'

/** Between the two looks that must find nothing, milliseconds: longer than the kernel takes to put another program into a process. */
const lookAgainMs = 10

/** Environment variable that every process of a run carries and its children inherit. */
export const ownerVariable = 'EVERYHOP_OWNER'

/**
 * When process `pid` started, in clock ticks since boot (proc(5), /proc/PID/stat field 22): with the pid it names one process for ever.
 * @returns undefined if there is no such process, or only its zombie
 */
export function startTime(pid: number): string | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The command name is in parentheses and may hold anything, so count fields from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

/** Pids of all processes whose environment, as they were started with it, says that they belong to `owner`. Zombies have none. */
export function processesOf(owner: string): number[] {
  return markedProcesses()
    .filter((p) => p.owner === owner)
    .map((p) => p.pid)
}

/** Every process on this host that carries an owner's mark. */
export function markedProcesses(): { pid: number; owner: string }[] {
  const found: { pid: number; owner: string }[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    let environment: string
    try {
      environment = readFileSync(`/proc/${name}/environ`, 'latin1')
    } catch {
      continue
    }
    const at = `\0${environment}`.indexOf(`\0${ownerVariable}=`)
    if (at < 0) continue
    const owner = environment.slice(at + ownerVariable.length + 1).split('\0', 1)[0] ?? ''
    found.push({ pid: Number(name), owner })
  }
  return found
}

/**
 * Kills what `list` returns, again and again until it returns nothing twice: a process may fork while it is looked for, and while it is
 * being replaced by another program its environment cannot be read for a moment. Throws after `timeoutMs`.
 */
export async function killAll(list: () => number[], timeoutMs = 5000): Promise<number[]> {
  const killed = new Set<number>()
  const deadline = Date.now() + timeoutMs
  let empty = 0
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const pids = list()
    empty = pids.length === 0 ? empty + 1 : 0
    if (empty === 2) return [...killed]
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
        killed.add(pid)
      } catch {
        // Gone since it was listed.
      }
    }
    if (empty === 0 && Date.now() > deadline)
      throw new Error(`processes ${pids.join(', ')} do not die of SIGKILL; fix: look at their state in /proc/PID/stack`)
    await new Promise((resolve) => setTimeout(resolve, empty > 0 ? lookAgainMs : pause))
  }
}
