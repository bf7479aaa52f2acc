import { expect, test } from 'vitest'
import { bare, createLog } from './log.ts'
import { parseLogFilter } from './log-filter.ts'

const lines = (format: 'plain' | 'json', use: (log: ReturnType<typeof createLog>) => void, filter = 'info') => {
  const out: string[] = []
  use(createLog({ format, filter: parseLogFilter(filter)!, write: (line) => out.push(line) }))
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

test('a line of fields only has no message', () => {
  const told = { 'src.workload': 'sleep', endpoints: 1 }
  const of = (format: 'plain' | 'json') => lines(format, ({ log }) => log('info', 'dns', '', told))[0]!
  expect(of('plain')).toMatch(/Z\tinfo\tdns\tsrc\.workload="sleep" endpoints=1\n$/)
  expect(JSON.parse(of('json'))).toEqual({ level: 'info', scope: 'dns', time: expect.anything(), ...told })
})

test('a scope can have a level of its own', () => {
  const scopes = ['dns', 'access']
  const write: Parameters<typeof lines>[1] = ({ log }) => {
    for (const scope of scopes) log('debug', scope, 'x')
  }
  const out = lines('plain', write, 'warn,dns=debug')
  expect(out.map((line) => line.split('\t')[2])).toEqual(['dns'])
})

test.each(['loud', 'dns=', '=debug', 'info,dns=loud', 'a=info=debug', ''])('no filter: %j', (text) =>
  expect(parseLogFilter(text)).toBeUndefined(),
)
