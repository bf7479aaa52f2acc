import { CommandError, type Netns, netnsPath, runIn, tryIn } from '../command.ts'
import type { Family } from '../netfilter/rule.ts'
import { replyMark, replyRulePriority, replyTable } from './constants.ts'

const anywhere = { v4: '0.0.0.0/0', v6: '::/0' } as const
const rule = `fwmark ${replyMark} pref ${replyRulePriority} lookup ${replyTable}`

// The answers of iproute2 to "it is there already" and "it is not there".
const exists = /^RTNETLINK answers: File exists$/
const absent = /^(RTNETLINK answers: (No such file or directory|No such process)|Error: (ipv[46]: )?FIB table does not exist\.)$/

/** Packets that carry the reply mark are delivered locally: route first, rule second, as upstream. Idempotent. */
export async function addRoutes(netns: Netns, family: Family): Promise<void> {
  await batch(netns, family, [`route replace local ${anywhere[family]} dev lo table ${replyTable}`, `rule add ${rule}`], exists)
}

/** Takes both away; each may be gone already. */
export async function removeRoutes(netns: Netns, family: Family): Promise<void> {
  await batch(netns, family, [`rule del ${rule}`, `route del local ${anywhere[family]} dev lo table ${replyTable}`], absent)
}

/** Whether the rule is there: it is made before the tables are, and goes after them. */
export async function hasRule(netns: Netns, family: Family): Promise<boolean> {
  const selector = ['fwmark', replyMark, 'pref', replyRulePriority]
  return (await runIn(netns, ['ip', family === 'v4' ? '-4' : '-6', 'rule', 'show', ...selector.map(String)])).trim() !== ''
}

async function batch(netns: Netns, family: Family, lines: readonly string[], tolerated: RegExp): Promise<void> {
  const argv = ['ip', family === 'v4' ? '-4' : '-6', '-force', '-batch', '-']
  const result = await tryIn(netns, argv, `${lines.join('\n')}\n`)
  if (result.exitCode === 0) return
  const complaints = result.stderr.split('\n').filter((l) => l !== '' && !/^Command failed -:\d+$/.test(l))
  if (complaints.length > 0 && complaints.every((l) => tolerated.test(l))) return
  throw new CommandError(argv, `network namespace ${netnsPath(netns)}, input: ${lines.join('; ')}`, result)
}
