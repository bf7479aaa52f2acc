/** Evidence that cannot be read: which file, where in it, what is wrong, and what to do. The only error that the parsers throw. */
export class EvidenceError extends Error {
  override name = 'EvidenceError'
  /** File as the bundle names it. */
  readonly file: string
  /** `line 3`, `byte 0x1f4`; empty for the file as a whole. */
  readonly place: string

  constructor(file: string, place: string, problem: string, fix: string) {
    super(`${file}${place && `, ${place}`}: ${problem}. ${fix}`)
    this.file = file
    this.place = place
  }
}

export const takeAgain = 'The bundle was changed or damaged: take it again, or restore the file from a copy'
