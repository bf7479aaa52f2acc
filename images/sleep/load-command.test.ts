import { expect, test } from 'vitest'
import { parseLoadLine } from './load-command.ts'

const load = { mark: 'abcdefgh', host: '10.0.0.1', port: 80, connections: 'new', everyMs: 10, atOnce: 5, least: 100, timeoutMs: 1000 }

test('a load and a stop come through as they are; anything else is none', () => {
  expect(parseLoadLine(JSON.stringify({ id: 'a', load }))).toEqual({ start: { id: 'a', load } })
  expect(parseLoadLine('{"id":"b","stop":"a"}')).toEqual({ stop: { id: 'b', stop: 'a' } })
  for (const line of ['', 'rubbish', '[]', 'null', '{"id":"a","protocol":"http"}']) expect(parseLoadLine(line)).toBeUndefined()
})

test.for([
  [{ load }, '', /id must be/],
  [{ id: 'a', load: null }, 'a', /load must be an object/],
  [{ id: 'a', stop: 7 }, 'a', /stop must be the id of a load, is 7/],
  [{ id: 'a', load: { ...load, mark: 'short' } }, 'a', /mark must be 8 to 64 letters/],
  [{ id: 'a', load: { ...load, connections: 0 } }, 'a', /connections must be "new" or 1 to 1000, is 0/],
  [{ id: 'a', load: { ...load, path: 'x' } }, 'a', /path must begin with/],
  [
    { id: 'a', load: { ...load, host: '', port: 0, everyMs: -1, atOnce: 0, least: 0.5, restAfter: 0, timeoutMs: 0 } },
    'a',
    /host.*port.*everyMs.*atOnce.*least.*restAfter.*timeoutMs/,
  ],
] as const)('%j is refused with its id and what is wrong', ([value, id, problem]) => {
  expect(parseLoadLine(JSON.stringify(value))).toEqual({ id, problem: expect.stringMatching(problem) })
})
