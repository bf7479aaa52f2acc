import { expect, test } from 'vitest'
import { fullName, lacking } from './load-images.ts'

test('names without a registry are those of Docker Hub', () => {
  expect(['everyhop/cni:dev', 'busybox', 'localhost/a:1', 'registry.k8s.io/pause:3.10', 'host:5000/a'].map(fullName)).toEqual([
    'docker.io/everyhop/cni:dev',
    'docker.io/library/busybox',
    'localhost/a:1',
    'registry.k8s.io/pause:3.10',
    'host:5000/a',
  ])
})

test('an image is lacking unless the node has it under its name with the same digest', () => {
  const list = `REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/everyhop/cni:dev     application/vnd.oci.image.manifest.v1+json sha256:01 9.1 MiB linux/amd64 everyhop/digest=sha256:aa,io.cri-containerd.image=managed
docker.io/everyhop/ztunnel:dev application/vnd.oci.image.manifest.v1+json sha256:02 9.1 MiB linux/amd64 everyhop/digest=sha256:old,io.cri-containerd.image=managed
docker.io/everyhop/sleep:dev   application/vnd.oci.image.manifest.v1+json sha256:03 9.1 MiB linux/amd64 io.cri-containerd.image=managed
`
  const image = (name: string, digest: string) => ({ name: `everyhop/${name}:dev`, digest: `sha256:${digest}` })
  const [cni, ztunnel, sleep, httpbin] = [image('cni', 'aa'), image('ztunnel', 'bb'), image('sleep', 'bb'), image('httpbin', 'bb')]
  expect(lacking([cni, ztunnel, sleep, httpbin], list)).toEqual([ztunnel, sleep, httpbin])
  // Not one whose digest begins like it.
  expect(lacking([image('cni', 'a')], list)).toHaveLength(1)
})
