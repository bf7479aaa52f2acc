import { quoted } from '../../reports/shell-words.ts'

export const isRoot = (): boolean => process.getuid?.() === 0

/** This command as root, for a shell. */
export const asRoot = (args: readonly string[] = process.argv.slice(2)): string => `sudo bin/everyhop ${args.map(quoted).join(' ')}`

/** Whether the command may go on: namespaces take root. When not, that is told with the fix. */
export function mayMakeNamespaces(verb: string): boolean {
  if (isRoot()) return true
  process.stderr.write(`everyhop: ${verb} makes network namespaces, which takes root; fix: ${asRoot()}\n`)
  return false
}
