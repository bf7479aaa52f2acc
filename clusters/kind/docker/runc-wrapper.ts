import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** CAP_SYS_RESOURCE of linux/capability.h. */
const sysResource = 24n

/**
 * Where this process may not have CAP_SYS_RESOURCE, nobody it starts can be given it, and `docker run --privileged` fails: then a runc that leaves it out of
 * what a container asks for (its bundle's config.json, and the process file of an exec).
 * @returns the wrapper's path; undefined where runc itself does
 */
export function runcWithoutSysResource(directory: string): string | undefined {
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`)
  if ((bounding >> sysResource) & 1n) return undefined
  const file = join(directory, 'runc')
  writeFileSync(file, wrapper)
  chmodSync(file, 0o755)
  return file
}

// runc's arguments: `create --bundle DIR ID`, `exec --process FILE ID`.
const wrapper = `#!/bin/sh
bundle=. process= before= creates=
for argument in "$@"; do
  case $before in --bundle | -b) bundle=$argument ;; --process | -p) process=$argument ;; esac
  case $argument in
    create | run | restore) creates=yes ;;
    --bundle=*) bundle=\${argument#*=} ;;
    --process=*) process=\${argument#*=} ;;
  esac
  before=$argument
done
[ -z "$creates" ] || process=$bundle/config.json
[ ! -f "$process" ] || sed -i 's/"CAP_SYS_RESOURCE",//g; s/,\\?"CAP_SYS_RESOURCE"//g' "$process"
exec runc "$@"
`
