import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { inNetns, inNetnsAt } from '../../lib/netns.ts'
import type { Netns } from './command.ts'

/**
 * Sets network settings of a namespace, and writes only what differs.
 * @param values by key below `net.ipv4.conf`, such as `eth0/rp_filter`
 * @throws Error that names the first key that cannot be set
 */
export function setConf(netns: Netns, values: Readonly<Record<string, string>>): void {
  // `/proc/sys/net` shows the namespace of the thread that looks.
  const set = () => {
    for (const [key, value] of Object.entries(values)) {
      const path = confPath(key)
      try {
        if (readFileSync(path, 'utf8').trim() !== value) writeFileSync(path, value)
      } catch (error) {
        throw new Error(`setting net.ipv4.conf.${key.replace('/', '.')} to ${value}: ${(error as Error).message}`, { cause: error })
      }
    }
  }
  inside(netns, set)
}

/** What settings of a namespace are, by the keys of `setConf`; without those of interfaces that are not there. */
export function confOf(netns: Netns, keys: readonly string[]): Record<string, string> {
  return inside(netns, () =>
    Object.fromEntries(keys.flatMap((key) => (existsSync(confPath(key)) ? [[key, readFileSync(confPath(key), 'utf8').trim()]] : []))),
  )
}

/** Whether the namespace has an interface with settings. */
export function hasConf(netns: Netns, device: string): boolean {
  return inside(netns, () => existsSync(confPath(device)))
}

const inside = <T>(netns: Netns, fn: () => T): T => (typeof netns === 'string' ? inNetnsAt(netns, fn) : inNetns(netns, fn))

const confPath = (key: string) => `/proc/sys/net/ipv4/conf/${key}`
