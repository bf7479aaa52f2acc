/** Errors of the machine that a user can mend, by their code. */
const fixes: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on that disk, or choose another folder with --out',
  EDQUOT: 'make room within the quota, or choose another folder with --out',
  EROFS: 'choose a folder on a disk that can be written to',
  EACCES: 'let yourself read or write there, or choose another folder',
  EMFILE: 'allow more open files (ulimit -n)',
  ENFILE: 'allow more open files (sysctl fs.file-max)',
  ENOMEM: 'make memory free',
}

/** What is told of an error that nobody expected: of the machine's, what to do; of ours, where it is in the code. */
export function crashText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as NodeJS.ErrnoException
  const fix = code === undefined ? undefined : fixes[code]
  return fix ? `${error.message}; fix: ${fix}` : (error.stack ?? error.message)
}
