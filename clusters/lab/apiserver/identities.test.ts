import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:tls'
import { AuthenticationV1Api, AuthorizationV1Api, CoreV1Api, KubeConfig, RbacAuthorizationV1Api } from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApiServer } from './server.ts'
import { resources } from './store.ts'
import { pod, startTestServer, type TestServer } from './test-server.ts'

let context: TestServer
let server: TestServer['server']
let kubeConfig: KubeConfig
let core: CoreV1Api
let namespace: TestServer['namespace']
beforeAll(async () => {
  context = await startTestServer()
  ;({ server, kubeConfig, core, namespace } = context)
})
afterAll(() => context[Symbol.asyncDispose]())

describe('identities', () => {
  test('a token of a service account is known to the API and to TokenReview, while its pod lives', async () => {
    const ns = await namespace()
    const created = await core.createNamespacedPod({ namespace: ns, body: pod('a', { nodeName: 'node1' }) })
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'a', uid: created.metadata!.uid! }
    const request = (audiences: string[]) =>
      core.createNamespacedServiceAccountToken({
        namespace: ns,
        name: 'default',
        body: { spec: { audiences, expirationSeconds: 600, boundObjectRef } },
      })
    const { status } = await request(['istio-ca'])
    expect(status!.expirationTimestamp!.getTime()).toBeGreaterThan(Date.now() + 590_000)
    const authentication = kubeConfig.makeApiClient(AuthenticationV1Api)
    const review = async (token: string, audiences?: string[]) =>
      (await authentication.createTokenReview({ body: { spec: { token, ...(audiences && { audiences }) } } })).status!
    expect(await review(status!.token!, ['istio-ca', 'other'])).toMatchObject({
      authenticated: true,
      audiences: ['istio-ca'],
      user: {
        username: `system:serviceaccount:${ns}:default`,
        groups: ['system:serviceaccounts', `system:serviceaccounts:${ns}`, 'system:authenticated'],
        extra: { 'authentication.kubernetes.io/pod-name': ['a'], 'authentication.kubernetes.io/node-name': ['node1'] },
      },
    })
    expect(await review(status!.token!)).toMatchObject({ authenticated: false, error: expect.stringContaining('audiences') })

    const own = await request([])
    const config = new KubeConfig()
    config.loadFromClusterAndUser(kubeConfig.getCurrentCluster()!, { name: 'sa', token: own.status!.token! })
    const client = config.makeApiClient(CoreV1Api)
    // Known, and not allowed.
    await expect(client.listNamespacedPod({ namespace: ns })).rejects.toMatchObject({ code: 403 })
    await core.deleteNamespacedPod({ namespace: ns, name: 'a', gracePeriodSeconds: 0 })
    await expect(client.listNamespacedPod({ namespace: ns })).rejects.toMatchObject({ code: 401 })
    expect(await review(status!.token!, ['istio-ca'])).toMatchObject({ authenticated: false, error: expect.stringContaining('is gone') })
    expect(await review('nonsense')).toMatchObject({ authenticated: false })
  })

  test('reviews of access and of oneself; who is bound to no role may do nothing else, a role that is bound gives its rights', async () => {
    const ns = await namespace()
    const { status } = await core.createNamespacedServiceAccountToken({ namespace: ns, name: 'default', body: { spec: { audiences: [] } } })
    const config = new KubeConfig()
    config.loadFromClusterAndUser(kubeConfig.getCurrentCluster()!, { name: 'sa', token: status!.token! })
    const own = await config.makeApiClient(AuthenticationV1Api).createSelfSubjectReview({ body: {} })
    expect(own.status!.userInfo!.username).toBe(`system:serviceaccount:${ns}:default`)
    const access = { spec: { resourceAttributes: { verb: 'list', resource: 'pods' } } }
    const review = await config.makeApiClient(AuthorizationV1Api).createSelfSubjectAccessReview({ body: access })
    expect(review.status!.allowed).toBe(false)
    const role = { metadata: { name: 'everyhop:reader' }, rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] }
    await expect(config.makeApiClient(RbacAuthorizationV1Api).createClusterRole({ body: role })).rejects.toMatchObject({ code: 403 })
    const roles = kubeConfig.makeApiClient(RbacAuthorizationV1Api)
    expect(await roles.createClusterRole({ body: role })).toMatchObject(role)
    const mine = config.makeApiClient(CoreV1Api)
    await expect(mine.listNamespacedPod({ namespace: ns })).rejects.toMatchObject({ code: 403 })
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'everyhop:reader' }
    const subjects = [{ kind: 'ServiceAccount', name: 'default', namespace: ns }]
    await roles.createNamespacedRoleBinding({ namespace: ns, body: { metadata: { name: 'reader' }, roleRef, subjects } })
    expect((await mine.listNamespacedPod({ namespace: ns })).items).toEqual([])
    // A ClusterRole that a RoleBinding binds is good in its namespace only.
    await expect(mine.listNamespacedPod({ namespace: 'default' })).rejects.toMatchObject({ code: 403 })
    await expect(mine.listPodForAllNamespaces()).rejects.toMatchObject({ code: 403 })
  })

  test('an authorizer decides requests and reviews alike', async () => {
    const onlyGet = ({ groups }: { groups: readonly string[] }, { verb = '' }: { verb?: string }) => ({
      allowed: groups.includes('system:masters') || verb === 'get',
    })
    await using strict = await createApiServer({ listeners: [{ host: '127.0.0.1', port: 0 }], authorize: onlyGet })
    const account = { name: 'a', namespace: 'default' }
    strict.store.create(resources.serviceaccounts, { metadata: account })
    const config = new KubeConfig()
    config.loadFromString(strict.kubeconfig(`https://127.0.0.1:${strict.ports[0]}`))
    config.loadFromClusterAndUser(config.getCurrentCluster()!, { name: 'sa', token: strict.tokens.issue(account).token })
    const client = config.makeApiClient(CoreV1Api)
    expect((await client.readNamespace({ name: 'default' })).metadata!.name).toBe('default')
    await expect(client.listNamespace()).rejects.toMatchObject({ code: 403, body: expect.stringContaining('cannot list resource') })
    const body = { spec: { resourceAttributes: { verb: 'list', resource: 'namespaces' } } }
    expect((await config.makeApiClient(AuthorizationV1Api).createSelfSubjectAccessReview({ body })).status!.allowed).toBe(false)
  })

  test('the certificate is of the CA and names the API as clients in the cluster do, on all listeners', async () => {
    for (const [host, port] of [
      ['127.0.0.1', server.ports[0]!],
      ['::1', server.ports[1]!],
      ['127.0.0.1', server.ports[2]!],
    ] as const) {
      const socket = connect({ host, port, ca: server.caPem, servername: 'kubernetes.default.svc' })
      await once(socket, 'secureConnect')
      const certificate = new X509Certificate(socket.getPeerCertificate().raw)
      expect(certificate.checkHost('kubernetes.default.svc.cluster.local')).toBeDefined()
      for (const ip of ['10.96.0.1', '127.0.0.1', '172.30.0.1']) expect(certificate.checkIP(ip)).toBeDefined()
      socket.destroy()
    }
  })
})
