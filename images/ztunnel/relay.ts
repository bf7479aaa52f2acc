import type { End, Sink } from '../lib/h2/tunnel.ts'
import type { Traffic } from './access-log.ts'

/** Ends a relay from outside: both sides are closed and the relay fails with `reason`. */
export type Abort = (reason: string) => void

/**
 * Copies both ways until each side has ended, passing half-closes on. A side that fails ends the other with an ordinary close (resets are not forwarded).
 * @param traffic counts while it runs: `sent` what went from `near` to `far`, `received` the other way
 * @param onAbort is handed the function that ends the relay
 * @throws Error with upstream's words
 */
export function relay(near: End, far: End, traffic: Traffic, onAbort: (abort: Abort) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let open = 2
    let over = false
    const fail = (reason: string) => {
      if (over) return
      over = true
      near.giveUp()
      far.giveUp()
      reject(new Error(reason))
    }
    const sideDone = () => {
      open--
      if (open > 0 || over) return
      over = true
      resolve()
    }
    onAbort(fail)
    near.open(
      copy(
        near,
        far,
        (n) => {
          traffic.sent += n
        },
        sideDone,
        fail,
      ),
    )
    if (over) return
    far.open(
      copy(
        far,
        near,
        (n) => {
          traffic.received += n
        },
        sideDone,
        fail,
      ),
    )
  })
}

/** What `from` is told: its bytes and its end go to `to`, and it lets `to` go on when it has taken what came of there. */
function copy(from: End, to: End, count: (bytes: number) => void, done: () => void, fail: (reason: string) => void): Sink {
  return {
    data(chunk) {
      count(chunk.length)
      if (!to.write(chunk)) from.pause()
    },
    end() {
      to.end()
    },
    drained: () => to.resume(),
    finished: done,
    failed: fail,
  }
}
