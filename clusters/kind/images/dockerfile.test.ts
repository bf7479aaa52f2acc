import { describe, expect, test } from 'vitest'
import { DockerfileError, readDockerfile } from './dockerfile.ts'

// In two parts: the linter takes it for a template.
const from = ['FROM $', '{BASE}'].join('')
const whole = `# About.
ARG BASE=everyhop/base:dev
${from}

COPY node_modules /app/node_modules
COPY main.mjs istio-cni /app/
ENV A=b
ENV C=/d/e
USER 0:1337
ENTRYPOINT ["/usr/local/bin/node", "/app/main.mjs"]
`

test('a Dockerfile of ours', () => {
  expect(readDockerfile(whole, 'Dockerfile')).toEqual({
    base: 'everyhop/base:dev',
    copies: [
      { sources: ['node_modules'], target: '/app/node_modules' },
      { sources: ['main.mjs', 'istio-cni'], target: '/app/' },
    ],
    config: { Entrypoint: ['/usr/local/bin/node', '/app/main.mjs'], Env: ['A=b', 'C=/d/e'], User: '0:1337' },
  })
})

describe('what our builder would do otherwise than Docker is refused, with file and line', () => {
  test.each<[string, string, string, string]>([
    ['a command', 'ENV A=b', 'RUN apt-get update', ':7: RUN is not supported'],
    ['a name for a user', 'USER 0:1337', 'USER nobody', ':9: USER must be a number'],
    ['an option of COPY', 'COPY node_modules', 'COPY --chown=1:1 node_modules', ':5: expected COPY SOURCE… TARGET, without options'],
    ['a relative target', '/app/node_modules', 'app', ':5: the target must be an absolute path'],
    ['several sources into a file', 'istio-cni /app/', 'istio-cni /app', ':6: several sources need a target that ends in /'],
    ['a base without an argument', from, 'FROM debian', ':3: expected FROM'],
    ['an argument without a default', 'ARG BASE=everyhop/base:dev', 'ARG BASE', ':2: ARG needs a default'],
    ['a shell', 'ENTRYPOINT ["/usr/local/bin/node", "/app/main.mjs"]', 'ENTRYPOINT node', ':10: expected ENTRYPOINT'],
    ['a long line', 'ENV A=b', 'ENV A=\\', ':7: write each instruction on one line'],
    ['a variable', 'ENV A=b', 'ENV A=$B', ':7: expected one ENV'],
    ['a second stage', 'ENV A=b', from, ':7: one FROM only'],
  ])('%s', (_, was, is, message) => {
    expect(whole).toContain(was)
    const read = () => readDockerfile(whole.replace(was, is), 'Dockerfile')
    expect(read).toThrow(DockerfileError)
    expect(read).toThrow(`Dockerfile${message}`)
  })

  test('nothing', () => {
    expect(() => readDockerfile('', 'Dockerfile')).toThrow('Dockerfile: there is no FROM')
    expect(() => readDockerfile(whole.replace(/ENTRYPOINT.*/, ''), 'Dockerfile')).toThrow('Dockerfile: there is no ENTRYPOINT')
  })
})
