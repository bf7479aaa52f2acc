import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { generateCa, loadCa, signLeaf } from '../../lib/ca.ts'
import { KubeClient } from './client.ts'

test('a watch of which nothing more is heard is given up', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-client-'))
  const ca = loadCa(await generateCa())
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { chainPem } = await signLeaf(ca, { publicKey, names: [{ type: 'dns', value: 'localhost' }], ttl: 60_000 })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  const server = createServer({ key, cert: chainPem }, (_, response) => {
    response.writeHead(200)
    response.write('{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n')
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const [caFile, tokenFile] = [join(directory, 'ca.crt'), join(directory, 'token')]
  writeFileSync(caFile, ca.rootPem)
  writeFileSync(tokenFile, 't')
  const client = new KubeClient({ server: `https://localhost:${(server.address() as AddressInfo).port}`, caFile, tokenFile })
  const heard: string[] = []
  try {
    const follow = async () => {
      for await (const { object } of client.watch('/api/v1/pods', new AbortController().signal, 200)) heard.push(object.metadata.name)
    }
    await expect(follow()).rejects.toThrow('nothing was heard for 0.2 s')
    expect(heard).toEqual(['a'])
  } finally {
    client.close()
    server.closeAllConnections()
    server.close()
    rmSync(directory, { recursive: true, force: true })
  }
})
