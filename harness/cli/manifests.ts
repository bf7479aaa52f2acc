import { stringify } from 'yaml'
import { meshManifests } from '../../clusters/manifests/mesh.ts'
import { MeshError } from '../../clusters/manifests/modes.ts'
import { ValuesError } from '../../clusters/manifests/values/read.ts'
import { usualRelease } from '../modes/index.ts'
import { usage } from './run.ts'
import { modesOf, valuesOf } from './values.ts'

export interface ManifestsArguments {
  /** @default what the values file says, else the usual one */
  readonly mode?: string
  /** @default the mode's usual one */
  readonly release?: string
  readonly values?: string
}

/** `everyhop manifests`: what `run` and `up` install, as YAML. @returns the exit code */
export function manifests({ mode: given, release, values: file }: ManifestsArguments): number {
  try {
    const modes = given === undefined ? undefined : [given]
    const values = valuesOf(file, modes)
    const [mode] = modesOf(modes, values) as [string]
    const objects = meshManifests({ ...values, mode, release: release ?? usualRelease(mode) })
    process.stdout.write(objects.map((object) => stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 })).join('---\n'))
    return 0
  } catch (error) {
    if (!(error instanceof MeshError || error instanceof ValuesError)) throw error
    return usage(error.message)
  }
}
