import { listOwners, type Owner } from '../../clusters/registry.ts'

/** What killed runs left on this host, a line each, with the command that removes it. Cheap: it reads state files only. */
export function leftBehind(owners: readonly Owner[] = listOwners()): string[] {
  return owners
    .filter((o) => !o.alive && !o.problem)
    .map(({ id, resources, label }) => {
      const kinds = [...Map.groupBy(resources, (r) => r.kind)].map(([kind, those]) =>
        kind === 'processes' ? kind : kind === 'docker' ? 'containers' : `${those.length} ${plural(kind, those.length)}`,
      )
      return `${label ?? 'a run'} (${id}) was killed and may have left ${kinds.join(', ') || 'its record'}; remove it: bin/everyhop clean`
    })
}

const plural = (kind: 'cgroup' | 'mount' | 'directory', n: number) => (n === 1 ? kind : kind === 'directory' ? 'directories' : `${kind}s`)
