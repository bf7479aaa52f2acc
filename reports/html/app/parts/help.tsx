import { useLayoutEffect, useRef } from 'preact/hooks'
import { Key } from './basics.tsx'

const words: readonly (readonly [string, string])[] = [
  [
    'ambient mesh',
    'A way to encrypt and check traffic between pods without a helper container in each: one proxy a node, ztunnel, does it for all.',
  ],
  [
    'ztunnel',
    'That proxy. It runs once a node, but its sockets live in the pods’ own network namespaces; that is why the picture shows it inside the pod.',
  ],
  ['leg', 'One connection of a request: app to ztunnel, ztunnel to ztunnel, ztunnel to app.'],
  [
    'hop',
    'One step of a leg at one place, such as a device or a set of rules, with what must be true there. It passes only when every proof was seen on this very request.',
  ],
  [
    'clear, sealed',
    'On a clear leg the request can be read, on a sealed one it must not be: each request carries a secret word that is looked for in every packet.',
  ],
  ['HBONE', 'The tunnel between ztunnels: HTTP/2 CONNECT inside mutual TLS, port 15008.'],
  [
    'mark',
    'A number that the kernel keeps with a packet or a connection (0x539 ztunnel’s own, 0x111 connections that come from it). Rules tell by it whose a packet is.',
  ],
  ['inconclusive', 'A proof was not seen, or a control failed. Nothing is known to be wrong, but nothing is proven either.'],
]

const keys: readonly (readonly [string[], string])[] = [
  [['j', 'k'], 'next, previous case (also in the matrix: then Enter)'],
  [['←', '→'], 'previous, next hop'],
  [['a'], 'all packets, or those that hops rest on'],
  [['/'], 'search'],
  [['Esc'], 'back'],
  [['?'], 'this help'],
]

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useLayoutEffect(() => {
    dialog.current?.showModal()
    // It has moved to its first button, which stands at the end.
    dialog.current?.scrollTo(0, 0)
  }, [])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      ref={dialog}
      class="help"
      aria-label="Help"
      onClose={onClose}
      onClick={(e) => e.target === e.currentTarget && dialog.current?.close()}
    >
      <div>
        <h2>Words</h2>
        <dl>
          {words.map(([word, meaning]) => (
            <div key={word}>
              <dt>{word}</dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
        <h2>Keys</h2>
        <ul class="keys">
          {keys.map(([names, does]) => (
            <li key={does}>
              <span>
                {names.map((n) => (
                  <Key key={n}>{n}</Key>
                ))}
              </span>
              {does}
            </li>
          ))}
        </ul>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
    </dialog>
  )
}
