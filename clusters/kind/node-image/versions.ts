/** What our node image is made of. A change of one rebuilds the steps that use it, and no other. */
export const versions = {
  /** 1.34 is the last that kubelet starts on hosts with cgroup v1 without being told to. */
  kubernetes: 'v1.34.4',
  /** The node's files come from the same release as the CLI that will start it. */
  kind: 'v0.32.0',
  /** Compiles where the machine has no Go that is new enough. */
  go: 'go1.26.11',
  /** Debian release of the root file system. */
  debian: 'trixie',
} as const

/** What kubeadm of this Kubernetes asks for (`kubeadm config images list`), and containerd for its sandboxes; what is in them has its own version. */
export const tags = {
  kubernetes: (program: string) => `registry.k8s.io/${program}:${versions.kubernetes}`,
  etcd: 'registry.k8s.io/etcd:3.6.5-0',
  coredns: 'registry.k8s.io/coredns/coredns:v1.12.1',
  pause: 'registry.k8s.io/pause:3.10.1',
  sandbox: 'registry.k8s.io/pause:3.10',
} as const
