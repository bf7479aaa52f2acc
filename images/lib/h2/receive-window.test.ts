import { expect, test } from 'vitest'
import { ReceiveWindow } from './receive-window.ts'

const million = 1 << 20

test('half of it is given back when it has come, whether it was read or not', () => {
  const told: number[] = []
  const window = new ReceiveWindow(16 * million, (octets) => told.push(octets))
  for (let i = 0; i < 7; i++) expect(window.take(million)).toBe(true)
  expect(told).toEqual([])
  window.take(million)
  expect(told).toEqual([8 * million])
})

test('a peer that sends more than it may is found out', () => {
  const window = new ReceiveWindow(4, () => {})
  expect(window.take(1)).toBe(true)
  expect(window.take(4)).toBe(false)
})

test('while very much waits to be read, only what is read is given back', () => {
  let told = 0
  const window = new ReceiveWindow(16 * million, (octets) => (told += octets))
  let sent = 0
  while (sent < 16 * million + told) {
    expect(window.take(million)).toBe(true)
    sent += million
  }
  // What it was given at first, and 64 MiB.
  expect(sent).toBe(80 * million)
  window.consumed(8 * million)
  expect(told).toBe(72 * million)
  expect(window.take(8 * million)).toBe(true)
  expect(window.take(1)).toBe(false)
})
