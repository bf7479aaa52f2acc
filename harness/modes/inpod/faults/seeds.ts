import type { CommandSeed, Edit, PatchSeed } from '../../fault.ts'

/** Takes a rule out of its chain in every enrolled pod and puts it back at its place. */
export function dropped(table: string, chain: string, position: number, rule: string): CommandSeed {
  const words = rule.split(' ')
  return {
    kind: 'commands',
    where: 'enrolled pods',
    do: [['iptables', '-t', table, '-D', chain, ...words]],
    undo: [['iptables', '-t', table, '-I', chain, `${position}`, ...words]],
  }
}

/** Moves a rule to the end of its chain. */
export function moved(table: string, chain: string, position: number, rule: string): CommandSeed {
  const { do: taken, undo: back } = dropped(table, chain, position, rule)
  return {
    kind: 'commands',
    where: 'enrolled pods',
    do: [...taken, ['iptables', '-t', table, '-A', chain, ...rule.split(' ')]],
    undo: [...taken, ...back],
  }
}

/** Puts another rule in the place of one. */
export function replaced(table: string, chain: string, position: number, rule: string, other: string): CommandSeed {
  const put = (text: string) => ['iptables', '-t', table, '-R', chain, `${position}`, ...text.split(' ')]
  return { kind: 'commands', where: 'enrolled pods', do: [put(other)], undo: [put(rule)] }
}

/** Puts a rule that does not belong there at a place of a chain. */
export function added(
  table: string,
  chain: string,
  position: number,
  rule: string,
  where: CommandSeed['where'] = 'enrolled pods',
): CommandSeed {
  const words = rule.split(' ')
  return {
    kind: 'commands',
    where,
    do: [['iptables', '-t', table, '-I', chain, `${position}`, ...words]],
    undo: [['iptables', '-t', table, '-D', chain, ...words]],
  }
}

/** Puts a rule in front of a chain on every node. */
export function addedOnNodes(table: string, chain: string, rule: string): CommandSeed {
  const words = rule.split(' ')
  return {
    kind: 'commands',
    where: 'nodes',
    do: [['iptables', '-t', table, '-I', chain, '1', ...words]],
    undo: [['iptables', '-t', table, '-D', chain, ...words]],
  }
}

export const patched = (...edits: readonly Edit[]): PatchSeed => ({ kind: 'patch', image: 'ztunnel', edits })
/** In the control plane. */
export const misled = (file: string, find: string, replace: string): PatchSeed => ({
  kind: 'patch',
  image: 'discovery',
  edits: [{ file: `discovery/${file}`, find, replace }],
})
export const edit = (file: string, find: string, replace: string): Edit => ({ file: `ztunnel/${file}`, find, replace })
/** In what the images share. */
export const sharedEdit = (file: string, find: string, replace: string): Edit => ({ file: `lib/${file}`, find, replace })
