import { loadValues, type MeshValues, ValuesError } from '../../clusters/manifests/values/read.ts'
import { modeNames, usualMode } from '../modes/index.ts'

/**
 * What a values file says of the mesh; what has no effect is told on stderr.
 * @param modes that the mesh is to have; undefined: what the file says
 * @throws ValuesError
 */
export function valuesOf(file: string | undefined, modes: readonly string[] | undefined): MeshValues | undefined {
  if (file === undefined) return undefined
  const { values, notes } = loadValues(file)
  const { mode } = values
  const asked = `${file}: values.cni.ambient.redirectMode: ${mode}`
  if (mode !== undefined && !modeNames.includes(mode))
    throw new ValuesError(`${asked} is not supported: this mode is not made yet; fix: one of ${modeNames.join(', ')}, or take it out`)
  if (mode !== undefined && modes?.some((m) => m !== mode))
    throw new ValuesError(`${asked}, but the mode is ${modes.join(', ')}; fix: --mode ${mode}`)
  for (const note of notes) process.stderr.write(`everyhop: ${file}: ${note}\n`)
  return values
}

/** The modes that are meant: those of the command, or that of its values file, or the usual one. */
export const modesOf = (given: readonly string[] | undefined, values: MeshValues | undefined): readonly string[] =>
  given ?? [values?.mode ?? usualMode]
