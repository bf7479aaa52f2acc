import { execa } from 'execa'
import type { Ended } from './command.ts'
import { cli } from './stand-in-host.ts'

/** `everyhop judge FOLDER --json` on the real host: it needs nothing of a host. */
export async function judge(folder: string, ...args: readonly string[]): Promise<Ended> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [...cli, 'judge', folder, '--json', ...args], {
    reject: false,
    stripFinalNewline: false,
  })
  return { code: exitCode ?? null, stdout, stderr }
}
