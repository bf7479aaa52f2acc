import { describe, expect, test } from 'vitest'
import {
  Address,
  Authorization,
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  IstioCertificateRequest,
  IstioCertificateResponse,
  Service,
  Workload,
} from './messages.ts'
import type { Message } from './schema.ts'

/** Bytes from hex with spaces, texts in quotes, and lengths of what is in brackets: `0a[08 01] 12['hi']`. Independent of the code under test. */
function wire(notation: string): Buffer {
  const tokens = notation.match(/'[^']*'|[[\]]|[0-9a-f]{2}/g) ?? []
  const read = (): Buffer => {
    const parts: Buffer[] = []
    for (let token = tokens.shift(); token !== undefined && token !== ']'; token = tokens.shift()) {
      if (token === '[') {
        const inner = read()
        const length = inner.length < 128 ? [inner.length] : [(inner.length & 127) | 128, inner.length >> 7]
        parts.push(Buffer.from(length), inner)
      } else parts.push(token.startsWith("'") ? Buffer.from(token.slice(1, -1)) : Buffer.from(token, 'hex'))
    }
    return Buffer.concat(parts)
  }
  return read()
}

// Keys by hand: number << 3 | wire type (0 varint, 1 eight bytes, 2 length-delimited); two bytes from number 16 on.
function both<Out, In>(codec: Message<Out, In>, bytes: Buffer, message: In & Out): void {
  expect(codec.encode(message).toString('hex')).toBe(bytes.toString('hex'))
  expect(codec.decode(bytes)).toEqual(message)
}

describe('delta discovery', () => {
  test('a first request: node, metadata, versions that the client holds', () => {
    const bytes = wire(`
      0a[ 0a['ztunnel~10.0.0.1~z.istio-system~istio-system.svc.cluster.local'] 12['c']
          1a[ 0a[ 0a['NAME'] 12[ 1a['z'] ] ] 0a[ 0a['N'] 12[ 11 00 00 00 00 00 00 f8 3f ] ]
              0a[ 0a['B'] 12[ 20 01 ] ] 0a[ 0a['X'] 12[ 08 00 ] ]
              0a[ 0a['S'] 12[ 2a[ 0a[ 0a['a'] 12[ 32[ 0a[ 1a['b'] ] 0a[ 1a[] ] ] ] ] ] ] ] ] ]
      12['t']
      1a['a'] 1a['b'] 22['*']
      2a[ 0a['demo/x'] 12['v1'] ]
      32['n7']
      3a[ 08 03 12['bad'] 1a[ 0a['u'] 12[ ff 00 ] ] ]`)
    both(DeltaDiscoveryRequest, bytes, {
      node: {
        id: 'ztunnel~10.0.0.1~z.istio-system~istio-system.svc.cluster.local',
        cluster: 'c',
        metadata: { NAME: 'z', N: 1.5, B: true, X: null, S: { a: ['b', ''] } },
      },
      typeUrl: 't',
      resourceNamesSubscribe: ['a', 'b'],
      resourceNamesUnsubscribe: ['*'],
      initialResourceVersions: { 'demo/x': 'v1' },
      responseNonce: 'n7',
      errorDetail: { code: 3, message: 'bad', details: [{ typeUrl: 'u', value: Uint8Array.of(0xff, 0) }] },
    })
  })

  test('a response: resources under their names and aliases, what is removed', () => {
    const bytes = wire(`
      0a['s1']
      12[ 0a['v2'] 12[ 0a['type.googleapis.com/istio.workload.Address'] 12[ 0a[] ] ] 1a['name'] 22['/10.0.0.1'] 22['/10.0.0.2']
          32[ 08 05 10 01 ] 3a[ 08 01 ] ]
      22['t'] 2a['n1'] 32['gone'] 32['gone2']`)
    both(DeltaDiscoveryResponse, bytes, {
      systemVersionInfo: 's1',
      resources: [
        {
          version: 'v2',
          resource: { typeUrl: 'type.googleapis.com/istio.workload.Address', value: Uint8Array.of(0x0a, 0) },
          name: 'name',
          aliases: ['/10.0.0.1', '/10.0.0.2'],
          ttl: { seconds: 5, nanos: 1 },
          cacheControl: { doNotCache: true },
        },
      ],
      typeUrl: 't',
      nonce: 'n1',
      removedResources: ['gone', 'gone2'],
    })
  })

  test('an acknowledgement carries nothing but type and nonce', () => {
    expect(DeltaDiscoveryRequest.encode({ typeUrl: 't', responseNonce: 'n' })).toEqual(wire("12['t'] 32['n']"))
  })
})

describe('istio.workload', () => {
  test('a workload with every field', () => {
    const bytes = wire(`
      0a['p'] 12['ns'] 1a[ 0a 00 00 01 ] 1a[ fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 ] 22['net'] 28 01 32['td'] 3a['sa']
      42[ 0a[ 0a['wns'] 12['wp.host'] ] 18 98 75 ]
      4a['node1'] 52['cn'] 5a['cr'] 60 02 6a['wn'] 70 01
      82 01['ns/pol'] 88 01 01 92 01['Kubernetes']
      9a 01[ 12[ 0a['n2'] 12[ 0a 09 09 09 ] ] 18 98 75 ]
      a2 01['Kubernetes//Pod/ns/p'] aa 01['p.host']
      b2 01[ 0a['ns/svc.ns.svc.cluster.local'] 12[ 0a[ 08 50 10 90 3f 18 01 ] 0a[ 08 51 ] ] ]
      ba 01[ 08 01 10 97 4e ] c2 01[ 0a['r'] 12['z'] 1a['s'] ] c8 01 01
      d2 01[ 0a['x'] 12[ 0a['u'] ] ] da 01[ 08 03 ]`)
    both(Workload, bytes, {
      name: 'p',
      namespace: 'ns',
      addresses: [Uint8Array.of(10, 0, 0, 1), Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)],
      network: 'net',
      tunnelProtocol: 'HBONE',
      trustDomain: 'td',
      serviceAccount: 'sa',
      waypoint: { hostname: { namespace: 'wns', hostname: 'wp.host' }, hboneMtlsPort: 15000 },
      node: 'node1',
      canonicalName: 'cn',
      canonicalRevision: 'cr',
      workloadType: 'POD',
      workloadName: 'wn',
      nativeTunnel: true,
      authorizationPolicies: ['ns/pol'],
      status: 'UNHEALTHY',
      clusterId: 'Kubernetes',
      networkGateway: { address: { network: 'n2', address: Uint8Array.of(10, 9, 9, 9) }, hboneMtlsPort: 15000 },
      uid: 'Kubernetes//Pod/ns/p',
      hostname: 'p.host',
      services: {
        'ns/svc.ns.svc.cluster.local': {
          ports: [
            { servicePort: 80, targetPort: 8080, appProtocol: 'HTTP11' },
            { servicePort: 81, targetPort: 0, appProtocol: 'UNKNOWN' },
          ],
        },
      },
      applicationTunnel: { protocol: 'PROXY', port: 10007 },
      locality: { region: 'r', zone: 'z', subzone: 's' },
      networkMode: 'HOST_NETWORK',
      extensions: [{ name: 'x', config: { typeUrl: 'u', value: new Uint8Array(0) } }],
      capacity: { value: 3 },
    })
  })

  test('a service with every field', () => {
    const bytes = wire(`
      0a['svc'] 12['ns'] 1a['svc.ns.svc.cluster.local'] 22[ 12[ 0a 60 00 01 ] 18 00 ] 22[ 0a['n'] 12[ 0a 60 00 02 ] ]
      2a[ 08 50 10 90 3f 18 05 ] 32['spiffe://td/ns/n/sa/s'] 3a[ 12[ 12[ 0a 00 00 02 ] ] 18 98 75 ]
      42[ 0a[ 01 04 ] 10 02 18 01 ] 48 03 52[ 0a['e'] ] 58 01 60 01 6a[ 0a[ 0a[ 12['w'] ] ] 10 05 ] 70 01`)
    both(Service, bytes, {
      name: 'svc',
      namespace: 'ns',
      hostname: 'svc.ns.svc.cluster.local',
      addresses: [
        { network: '', address: Uint8Array.of(10, 96, 0, 1), length: 0 },
        { network: 'n', address: Uint8Array.of(10, 96, 0, 2) },
      ],
      ports: [{ servicePort: 80, targetPort: 8080, appProtocol: 'TLS' }],
      subjectAltNames: ['spiffe://td/ns/n/sa/s'],
      waypoint: { address: { network: '', address: Uint8Array.of(10, 0, 0, 2) }, hboneMtlsPort: 15000 },
      loadBalancing: { routingPreference: ['REGION', 'NODE'], mode: 'FAILOVER', healthPolicy: 'ALLOW_ALL' },
      ipFamilies: 'DUAL',
      extensions: [{ name: 'e' }],
      canonical: true,
      ingressUseWaypoint: true,
      weightedWaypoints: [{ destination: { hostname: { namespace: '', hostname: 'w' }, hboneMtlsPort: 0 }, weight: 5 }],
      visibility: 'NAMESPACE',
    })
  })

  test('an address is a workload or a service: the last on the wire, never both written', () => {
    expect(Address.decode(wire("0a[ 0a['w'] ] 12[ 0a['s'] ]"))).toEqual({ service: expect.objectContaining({ name: 's' }) })
    expect(Address.encode({ workload: { name: 'w' } })).toEqual(wire("0a[ 0a['w'] ]"))
    expect(() => Address.encode({ workload: {}, service: {} })).toThrow(
      'istio.workload.Address: workload and service are set, but it is one of them',
    )
  })
})

describe('istio.security', () => {
  test('a policy with every field', () => {
    const bytes = wire(`
      0a['p'] 12['ns'] 18 02 20 01
      2a[ 0a[ 12[ 0a[ 0a['a'] ] 12[ 12['b'] ] 1a[ 1a['c'] ] 22[ 22[] ] 2a[ 0a[ 0a 00 00 00 ] 10 08 ] 32[ 0a[ 0a 00 00 01 ] 10 20 ]
                  3a[ 0a[ 0a 01 00 00 ] 10 10 ] 42[ 0a[ 0a 02 00 00 ] 10 10 ] 4a[ 50 90 3f ] 52[ 51 ]
                  5a[ 0a['n'] 12['s'] ] 62[ 12['t'] ] 6a[ 0a['x'] ] ] 12[] ] ]
      2a[]
      30 01 3a[ 0a['e'] ]`)
    const nothing = {
      namespaces: [],
      notNamespaces: [],
      principals: [],
      notPrincipals: [],
      sourceIps: [],
      notSourceIps: [],
      destinationIps: [],
      notDestinationIps: [],
      destinationPorts: [],
      notDestinationPorts: [],
      serviceAccounts: [],
      notServiceAccounts: [],
      extensions: [],
    }
    both(Authorization, bytes, {
      name: 'p',
      namespace: 'ns',
      scope: 'WORKLOAD_SELECTOR',
      action: 'DENY',
      rules: [
        {
          clauses: [
            {
              matches: [
                {
                  namespaces: [{ exact: 'a' }],
                  notNamespaces: [{ prefix: 'b' }],
                  principals: [{ suffix: 'c' }],
                  notPrincipals: [{ presence: {} }],
                  sourceIps: [{ address: Uint8Array.of(10, 0, 0, 0), length: 8 }],
                  notSourceIps: [{ address: Uint8Array.of(10, 0, 0, 1), length: 32 }],
                  destinationIps: [{ address: Uint8Array.of(10, 1, 0, 0), length: 16 }],
                  notDestinationIps: [{ address: Uint8Array.of(10, 2, 0, 0), length: 16 }],
                  destinationPorts: [80, 8080],
                  notDestinationPorts: [81],
                  serviceAccounts: [{ namespace: 'n', serviceAccount: 's' }],
                  notServiceAccounts: [{ namespace: '', serviceAccount: 't' }],
                  extensions: [{ name: 'x' }],
                },
                nothing,
              ],
            },
          ],
        },
        { clauses: [] },
      ],
      dryRun: true,
      extensions: [{ name: 'e' }],
    })
  })

  test('ports that come one by one are read like packed ones', () => {
    const policy = Authorization.decode(wire('2a[ 0a[ 12[ 48 50 48 90 3f ] ] ]'))
    expect(policy.rules[0]?.clauses[0]?.matches[0]?.destinationPorts).toEqual([80, 8080])
  })
})

describe('the CA', () => {
  test('a request: CSR, seconds, who the certificate is for', () => {
    const bytes = wire("0a['PEM'] 18 80 a3 05 22[ 0a[ 0a['ImpersonatedIdentity'] 12[ 1a['spiffe://td/ns/n/sa/s'] ] ] ]")
    both(IstioCertificateRequest, bytes, {
      csr: 'PEM',
      validityDuration: 86400,
      metadata: { ImpersonatedIdentity: 'spiffe://td/ns/n/sa/s' },
    })
  })

  test('a time that is negative takes ten bytes', () => {
    expect(IstioCertificateRequest.decode(wire('18 ff ff ff ff ff ff ff ff ff 01')).validityDuration).toBe(-1)
  })

  test('a response: one text per certificate', () => {
    both(IstioCertificateResponse, wire("0a['leaf'] 0a['root']"), { certChain: ['leaf', 'root'] })
  })
})
