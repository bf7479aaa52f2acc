import { stringify } from 'yaml'
import { MeshError, meshManifests } from '../../clusters/manifests/mesh.ts'
import { ValuesError } from '../../clusters/manifests/values/read.ts'
import { usage } from './run.ts'
import { valuesOf } from './values.ts'

export interface ManifestsArguments {
  readonly mode: string
  readonly release: string
  readonly values?: string
}

/** `everyhop manifests`: what `run` and `up` install, as YAML. @returns the exit code */
export function manifests({ mode, release, values: file }: ManifestsArguments): number {
  try {
    const objects = meshManifests({ ...valuesOf(file, [mode]), mode, release })
    process.stdout.write(objects.map((object) => stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 })).join('---\n'))
    return 0
  } catch (error) {
    if (!(error instanceof MeshError || error instanceof ValuesError)) throw error
    return usage(error.message)
  }
}
