import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const {
  run,
  test: tests,
  bench,
} = JSON.parse(readFileSync(join(root, 'bin/system-packages.json'), 'utf8')) as Record<'run' | 'test' | 'bench', Record<string, string[]>>

/** Tools of Debian packages that are not part of every system; what runs or tests by name must be in the list that set-up installs. */
const tools = {
  conntrack: 'conntrack',
  curl: 'curl',
  dig: 'bind9-dnsutils',
  haproxy: 'haproxy',
  iperf3: 'iperf3',
  jq: 'jq',
  nc: 'netcat-openbsd',
  nginx: 'nginx-light',
  openssl: 'openssl',
  ping: 'iputils-ping',
  ps: 'procps',
  socat: 'socat',
  sysctl: 'procps',
  tcpdump: 'tcpdump',
  tini: 'tini',
  tshark: 'tshark',
  wrk: 'wrk',
}

test.for(Object.entries(tools))('%s is installed by set-up if a program here starts it', ([tool, debian]) => {
  const starts = [`['"\`]${tool}['" ]`, `(&& |; |\\| )${tool} -`].join('|')
  const { stdout } = spawnSync(
    'git',
    ['grep', '-lE', `(execa|run|tool|spawn|spawnSync|sh|execFileSync)\\(.*(${starts})`, '--', '*.ts', '*.mjs'],
    { cwd: root, encoding: 'utf8' },
  )
  const users = stdout.split('\n').filter(Boolean)
  if (users.length > 0) expect({ ...run, ...tests, ...bench }, `${users.join(', ')} starts ${tool}`).toHaveProperty([debian])
})
