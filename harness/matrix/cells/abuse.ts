import { type Axes, type Case, cell } from '../cell.ts'

/** What must not get in: plaintext where only mTLS is taken, calls to ztunnel's own ports, and HBONE peers that are not who they should be. */
export function abuseCells(mode: string): Case[] {
  const axes = (traffic: Axes['traffic'], more: Partial<Axes> = {}): Axes => ({
    traffic,
    placement: 'other-node',
    address: 'pod-ip',
    protocol: 'http',
    ...more,
  })
  const strict = (of: Axes, quick = false) => cell(mode, of, 'strict', { policy: 'strict', quick })
  const ports = [15001, 15006, 15008] as const
  return [
    strict(axes('plain-to-mesh', { placement: 'same-node' }), true),
    strict(axes('plain-to-mesh', { address: 'cluster-ip', protocol: 'tcp' })),
    strict(axes('mesh-to-mesh', { placement: 'same-node' })),
    strict(axes('probe', { placement: 'same-node' })),
    cell(mode, axes('mesh-to-mesh', { placement: 'same-node' }), 'revoked', { policy: 'revoked', quick: false }),
    ...ports.map((port) =>
      cell(mode, axes('direct', { protocol: 'tcp' }), `plain-${port}`, { caller: 'plain', port, quick: port === 15006 }),
    ),
    // On a tunnel that serves others too, and goes on serving them.
    ...ports.map((port) =>
      cell(mode, axes('direct', { protocol: 'tcp' }), `mesh-${port}`, { caller: 'mesh', port, connection: 'pooled', quick: false }),
    ),
    ...ports.map((port) =>
      cell(mode, axes('direct', { placement: 'same-node', protocol: 'tcp' }), `own-${port}`, { caller: 'itself', port, quick: false }),
    ),
    cell(mode, axes('forged'), 'foreign-ca', { forgery: 'foreign-ca' }),
    cell(mode, axes('forged'), 'foreign-trust-domain', { forgery: 'foreign-trust-domain', quick: false }),
    cell(mode, axes('forged'), 'disallowed', { forgery: 'disallowed', policy: 'deny', quick: false }),
    cell(mode, axes('forged'), 'other-authority', { forgery: 'other-authority', quick: false }),
    { ...cell(mode, axes('mesh-to-impostor')), quick: true },
  ]
}
