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
    cell(mode, across, 'server-first', { ...through, exchange: 'server-first' }),
    cell(mode, across, 'bulk', { ...through, exchange: 'bulk' }),
    cell(mode, entering, 'client-half-close', { exchange: 'client-half-close', quick: false }),
    cell(mode, entering, 'server-first', { exchange: 'server-first', quick: false }),
    { ...cell(mode, { ...across, protocol: 'udp' }), quick: true },
    cell(mode, { traffic: 'mesh-to-plain', placement: 'same-node', address: 'pod-ip', protocol: 'udp' }),
    { ...cell(mode, { ...across, address: 'headless', protocol: 'http' }), ...through, quick: true },
    { ...cell(mode, { ...across, placement: 'same-node', address: 'service-name', protocol: 'http' }), ...through },
    { ...cell(mode, { traffic: 'self', placement: 'same-node', address: 'cluster-ip', protocol: 'http' }), quick: true },
    cell(mode, { traffic: 'self', placement: 'same-node', address: 'pod-ip', protocol: 'http' }),
    ...questionCells(mode),
  ]
}

/** Questions to the cluster's name server. */
function questionCells(mode: string): Case[] {
  const asked = { traffic: 'mesh-to-dns', placement: 'same-node', address: 'cluster-ip', protocol: 'dns' } as const
  const ofMesh = { name: 'of the mesh', transport: 'udp', captured: true } as const
  return [
    cell(mode, asked, 'mesh-name', { question: ofMesh }),
    cell(mode, asked, 'mesh-name-tcp', { question: { ...ofMesh, transport: 'tcp' }, quick: false }),
    cell(mode, asked, 'other-name', { question: { ...ofMesh, name: 'of no service' }, quick: false }),
    cell(mode, asked, 'other-name-tcp', { question: { ...ofMesh, name: 'of no service', transport: 'tcp' }, quick: false }),
    cell(mode, asked, 'uncaptured', { question: { ...ofMesh, captured: false }, quick: false }),
  ]
}
