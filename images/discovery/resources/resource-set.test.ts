import { expect, test } from 'vitest'
import { ResourceSet } from './resource-set.ts'

const workload = { name: 'w', bytes: Buffer.from('1'), aliases: ['/10.0.0.1'], belongsTo: ['s'] }
const service = { name: 's', bytes: Buffer.from('1'), aliases: ['/10.9.0.1'], belongsTo: [] }

test('a resource is found by its name and its addresses, a service with what belongs to it', () => {
  const set = new ResourceSet()
  expect([set.put(workload), set.put(service), set.put({ ...service, bytes: Buffer.from('1') })]).toEqual([true, true, false])
  expect([set.lookUp('w'), set.lookUp('/10.0.0.1'), set.lookUp('/10.9.0.1'), set.lookUp('x')]).toEqual([['w'], ['w'], ['s', 'w'], []])
})

test('one that changed or is gone is no longer found by what it was', () => {
  const set = new ResourceSet()
  set.put(workload)
  set.put(service)
  set.put({ name: 'w', bytes: Buffer.from('2'), aliases: ['/10.0.0.2'], belongsTo: [] })
  expect([set.lookUp('/10.0.0.1'), set.lookUp('/10.0.0.2'), set.lookUp('s')]).toEqual([[], ['w'], ['s']])
  expect([set.remove('w'), set.remove('w'), set.lookUp('/10.0.0.2')]).toEqual([true, false, []])
})
