import { expect, test } from 'vitest'
import { bare, createLog } from './log.ts'

const lines = (format: 'plain' | 'json', use: (log: ReturnType<typeof createLog>) => void) => {
  const out: string[] = []
  use(createLog({ format, level: 'info', write: (line) => out.push(line) }))
  return out
}

test('the plain line: tabs, quoted text, bare addresses and numbers, absent fields left out', () => {
  const [line] = lines('plain', ({ log }) => log('info', 'access', 'done', { a: bare('10.0.0.1:80'), b: 'x "y"\n', c: 3, d: undefined }))
  expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\tinfo\taccess\tdone\ta=10\.0\.0\.1:80 b="x \\"y\\"\\n" c=3\n$/)
})

test('JSON', () => {
  const [line] = lines('json', ({ log }) => log('warn', 'access', 'no', { a: bare('x'), n: 1 }))
  expect(JSON.parse(line!)).toMatchObject({
    level: 'warn',
    scope: 'access',
    message: 'no',
    a: 'x',
    n: 1,
    time: expect.stringMatching(/Z$/),
  })
})

test('the level can be changed while it runs', () => {
  const out = lines('plain', (state) => {
    state.log('debug', 's', 'unseen')
    state.level = 'debug'
    state.log('debug', 's', 'seen')
  })
  expect(out).toHaveLength(1)
})
