/** So much may wait to be read by the tunnels of one connection before those that are slow hold back the others. */
const maxUnread = 64 << 20

/**
 * What the peer may send on a whole connection. It is given back at once, so that one slow tunnel does not hold back the others; only while very much waits to
 * be read, no sooner than that is read.
 */
export class ReceiveWindow {
  readonly #size: number
  readonly #tell: (octets: number) => void
  #left: number
  /** Octets that came and nobody has dealt with yet; of these, those that the peer was not given back; and what it is given back next. */
  #unread = 0
  #deferred = 0
  #due = 0

  /** @param tell sends the peer WINDOW_UPDATE */
  constructor(size: number, tell: (octets: number) => void) {
    this.#size = size
    this.#left = size
    this.#tell = tell
  }

  /** @returns whether the peer was allowed so much */
  take(octets: number): boolean {
    this.#left -= octets
    if (this.#left < 0) return false
    this.#unread += octets
    if (this.#unread > maxUnread) this.#deferred += octets
    else this.#giveBack(octets)
    return true
  }

  /** Somebody has dealt with so much. */
  consumed(octets: number): void {
    this.#unread -= octets
    const late = Math.min(octets, this.#deferred)
    this.#deferred -= late
    this.#giveBack(late)
  }

  #giveBack(octets: number): void {
    this.#due += octets
    if (this.#due < this.#size / 2) return
    this.#tell(this.#due)
    this.#left += this.#due
    this.#due = 0
  }
}
