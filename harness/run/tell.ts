/** How a suite tells the run that drives it how far it is: a line on the console that the reporter takes out. */
const PREFIX = 'everyhop:phase '

export interface PhaseTold {
  readonly name: string
  readonly milliseconds: number
}

let last = performance.now()

export function tellPhase(name: string, milliseconds = performance.now() - last): void {
  last = performance.now()
  console.log(`${PREFIX}${JSON.stringify({ name, milliseconds })}`)
}

/** The phases told in console output, and the lines that are none. */
export function phasesTold(output: string): { phases: PhaseTold[]; rest: string } {
  const lines = output.split('\n')
  const told = lines.filter((l) => l.startsWith(PREFIX))
  return {
    phases: told.map((l) => JSON.parse(l.slice(PREFIX.length)) as PhaseTold),
    rest: lines.filter((l) => !l.startsWith(PREFIX)).join('\n'),
  }
}
