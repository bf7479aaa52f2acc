import { type Case, cell } from '../cell.ts'

/** What is spoken besides plain requests: other protocols, and other orders of speaking and ending. */
export function protocolCells(mode: string): Case[] {
  const across = { traffic: 'mesh-to-mesh', placement: 'other-node', address: 'pod-ip', protocol: 'tcp' } as const
  const entering = { ...across, traffic: 'plain-to-mesh' } as const
  // On a tunnel that is open already: what is new here is what goes through it.
  const through = { connection: 'pooled', quick: false } as const
  return [
    {
      ...cell(mode, { traffic: 'mesh-to-mesh', placement: 'same-node', address: 'cluster-ip', protocol: 'http2' }),
      ...through,
      quick: true,
    },
    { ...cell(mode, { ...across, protocol: 'http2' }), ...through },
    cell(mode, { ...entering, protocol: 'http2' }),
    cell(mode, across, 'client-half-close', { ...through, exchange: 'client-half-close' }),
    cell(mode, across, 'server-half-close', { ...through, exchange: 'server-half-close' }),
    cell(mode, across, 'server-first', { ...through, exchange: 'server-first', quick: true }),
    cell(mode, entering, 'client-half-close', { exchange: 'client-half-close', quick: false }),
    cell(mode, entering, 'server-first', { exchange: 'server-first', quick: false }),
  ]
}
