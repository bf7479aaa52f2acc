import { type Branch, kinds, type Leaf, nothing, sets, stays } from './leaf.ts'

const { flag, text, count, texts, maps, map, words, resources } = kinds
const sidecars = 'sidecars are not made'
const gateways = 'gateways are not made'
const rollOut = 'how a component rolls out is part of what is proven'
const onlyOne = 'the control plane knows one cluster'
const webhooks = 'there are no webhooks'

/** What all of upstream's charts take for their workload; the newer names beside the older ones. */
function workload(at: string): Branch {
  return {
    hub: sets(text, `${at}.hub`),
    tag: sets(text, `${at}.tag`),
    image: sets(text, `${at}.image`),
    variant: nothing('there is one variant of each image'),
    pullPolicy: sets(text, `${at}.pullPolicy`),
    imagePullPolicy: sets(text, `${at}.pullPolicy`),
    imagePullSecrets: sets(texts, `${at}.pullSecrets`),
    resources: sets(resources, `${at}.resources`),
    env: sets(words, `${at}.env`),
    podAnnotations: sets(words, `${at}.podAnnotations`),
    podLabels: sets(words, `${at}.podLabels`),
    nodeSelector: sets(words, `${at}.nodeSelector`),
    affinity: sets(map, `${at}.affinity`),
    tolerations: sets(maps, `${at}.tolerations`),
    logLevel: sets(text, `${at}.logLevel`),
    logging: { level: sets(text, `${at}.logLevel`) },
    logAsJson: stays(false, 'evidence is read from plain logs'),
    resourceQuotas: { enabled: stays(false, 'no quota is made'), pods: nothing('no quota is made') },
    seccompProfile: stays([], "the profile is the runtime's own"),
    seLinuxOptions: stays([], 'no SELinux label is set'),
    updateStrategy: stays([], rollOut),
    rollingMaxUnavailable: stays(1, rollOut),
    rollingMaxSurge: stays(1, rollOut),
    psp_cluster_role: stays([], 'Kubernetes has no PodSecurityPolicy any more'),
  }
}

const global: Branch = {
  hub: sets(text, 'all.hub'),
  tag: sets(text, 'all.tag'),
  variant: nothing('there is one variant of each image'),
  imagePullPolicy: sets(text, 'all.pullPolicy'),
  imagePullSecrets: sets(texts, 'all.pullSecrets'),
  defaultResources: sets(resources, 'all.resources'),
  logging: { level: sets(text, 'all.logLevel') },
  logAsJson: stays(false, 'evidence is read from plain logs'),
  istioNamespace: stays('istio-system', 'the mesh is in istio-system'),
  network: sets(text, 'network'),
  multiCluster: { enabled: stays(false, onlyOne), clusterName: sets(text, 'cluster') },
  meshID: nothing(onlyOne),
  meshNetworks: stays([], onlyOne),
  nativeNftables: stays(false, 'rules are made with iptables'),
  networkPolicy: { enabled: stays(false, 'no NetworkPolicy is made') },
  platform: stays([], 'paths are those of a plain node: set cni.cniBinDir and its neighbours'),
  trustDomain: stays('cluster.local', 'paths are written down for cluster.local'),
  pilotCertProvider: stays('istiod', 'the control plane signs'),
  caAddress: stays([], 'the control plane signs'),
  externalIstiod: stays(false, onlyOne),
  remotePilotAddress: stays([], onlyOne),
  configCluster: stays(false, onlyOne),
  certSigners: nothing('the control plane signs'),
  priorityClassName: nothing("the node's agents are system-node-critical, as upstream's"),
  defaultPodDisruptionBudget: { enabled: nothing('no PodDisruptionBudget is made') },
  operatorManageWebhooks: nothing(webhooks),
  omitSidecarInjectorConfigMap: nothing(sidecars),
  podDNSSearchNamespaces: nothing(sidecars),
  proxy: nothing(sidecars),
  proxy_init: nothing(sidecars),
  waypoint: nothing('waypoints are not made'),
  istiod: nothing('analysis is not made'),
  tracer: nothing('nothing is traced'),
  sts: nothing('tokens are those of the API server'),
  sds: nothing(sidecars),
  mountMtlsCerts: nothing(sidecars),
  jwtPolicy: stays('third-party-jwt', 'tokens are bound to their pods'),
  ipFamilies: nothing('services are as the cluster makes them'),
  ipFamilyPolicy: nothing('services are as the cluster makes them'),
}

const cni: Branch = {
  ...workload('cni'),
  enabled: stays(true, 'ambient needs the agent'),
  profile: stays('ambient', 'only the ambient data plane is made'),
  ambient: {
    enabled: stays(true, 'only the ambient data plane is made'),
    redirectMode: sets(text, 'mode'),
    dnsCapture: sets(flag, 'dnsCapture'),
    ipv6: sets(flag, 'ipv6'),
    reconcileIptablesOnStartup: stays(true, 'rules of enrolled pods are always verified at start'),
    enableAmbientDetectionRetry: sets(flag, 'cni.detectionRetry'),
    shareHostNetworkNamespace: stays(false, 'the agent has a network of its own'),
    configDir: sets(text, 'cni.configDir'),
  },
  cniBinDir: sets(text, 'cni.binDir'),
  cniConfDir: sets(text, 'cni.confDir'),
  cniConfFileName: sets(text, 'cni.confName'),
  cniNetnsDir: sets(text, 'cni.netnsDir'),
  excludeNamespaces: sets(texts, 'cni.excludeNamespaces'),
  chained: stays(true, 'the plugin is chained to the primary one'),
  istioOwnedCNIConfig: stays(false, "the primary plugin's file is edited"),
  istioOwnedCNIConfigFileName: nothing("the primary plugin's file is edited"),
  provider: stays('default', 'there is no file for multus'),
  privileged: nothing('the agent has the rights that its mode needs, and no others'),
  repair: {
    enabled: stays(false, 'pods with sidecars are not looked at'),
    ...Object.fromEntries(
      ['hub', 'tag', 'image', 'labelPods', 'deletePods', 'repairPods', 'initContainerName', 'brokenPodLabelKey', 'brokenPodLabelValue'].map(
        (name): [string, Leaf] => [name, nothing('pods with sidecars are not looked at')],
      ),
    ),
  },
}

const ztunnel: Branch = {
  ...workload('ztunnel'),
  enabled: stays(true, 'ambient needs ztunnel'),
  terminationGracePeriodSeconds: sets(count, 'ztunnel.graceSeconds'),
  multiCluster: { enabled: stays(false, onlyOne), clusterName: sets(text, 'cluster') },
  network: sets(text, 'network'),
  istioNamespace: stays('istio-system', 'the mesh is in istio-system'),
  xdsAddress: stays([], "ztunnel asks the mesh's own control plane"),
  caAddress: stays([], "ztunnel asks the mesh's own control plane"),
}

const discovery: Branch = {
  ...workload('discovery'),
  enabled: stays(true, 'ambient needs the control plane'),
  replicaCount: stays(1, 'one control plane runs'),
  ...Object.fromEntries(
    ['autoscaleEnabled', 'autoscaleMin', 'autoscaleMax', 'autoscaleBehavior', 'cpu', 'memory'].map((name): [string, Leaf] => [
      name,
      nothing('one control plane runs'),
    ]),
  ),
  cni: nothing(sidecars),
  taint: { enabled: stays(false, 'no taint is taken away'), namespace: nothing('no taint is taken away') },
  traceSampling: nothing('nothing is traced'),
  trustedZtunnelNamespace: stays(['istio-system'], 'ztunnel is in istio-system'),
  trustedZtunnelName: stays(['ztunnel'], "ztunnel's account is ztunnel"),
  keepaliveMaxServerConnectionAge: nothing('connections are kept'),
  configMap: nothing('there is no mesh config'),
  configSource: nothing('configuration is read from the API server'),
}

/** Upstream's names of its charts' values, and those of an IstioOperator around them. */
const values: Branch = {
  profile: stays('ambient', 'only the ambient data plane is made'),
  global,
  cni,
  'istio-cni': cni,
  ztunnel,
  pilot: discovery,
  istiod: discovery,
  meshConfig: {
    trustDomain: stays('cluster.local', 'paths are written down for cluster.local'),
    rootNamespace: stays(['istio-system'], "the mesh's own namespace is the root"),
    enablePrometheusMerge: nothing(sidecars),
    accessLogFile: nothing(sidecars),
    accessLogEncoding: nothing(sidecars),
    defaultConfig: nothing(sidecars),
    outboundTrafficPolicy: { mode: stays('ALLOW_ANY', 'what is not of the mesh is passed through') },
    ambientMesh: nothing('ambient is always on'),
  },
  sidecarInjectorWebhook: nothing(sidecars),
  telemetry: nothing('there is no Telemetry API'),
  gateways: nothing(gateways),
  base: nothing('the kinds that the control plane reads are always installed'),
  revision: stays(['default'], 'there is one control plane'),
  revisionTags: stays([], 'there is one control plane'),
  defaultRevision: stays(['default'], 'there is one control plane'),
  ownerName: nothing('nobody else owns the objects'),
  istiodRemote: nothing(onlyOne),
  experimental: nothing('there is nothing experimental'),
  compatibilityVersion: stays([], 'use --release'),
}

const enabled = (reason: string): Branch => ({
  enabled: stays(true, reason),
  namespace: stays('istio-system', 'the mesh is in istio-system'),
  hub: nothing('set values.global.hub'),
  tag: nothing('set values.global.tag'),
  k8s: stays([], 'use the names below values'),
})

/** Every name that a values file may hold. */
export const known: Branch = {
  ...values,
  hub: sets(text, 'all.hub'),
  tag: sets(text, 'all.tag'),
  namespace: stays('istio-system', 'the mesh is in istio-system'),
  installPackagePath: nothing('nothing is read from charts'),
  values,
  unvalidatedValues: values,
  components: {
    base: { enabled: nothing('the kinds that the control plane reads are always installed') },
    cni: enabled('ambient needs the agent'),
    ztunnel: enabled('ambient needs ztunnel'),
    pilot: enabled('ambient needs the control plane'),
    ingressGateways: nothing(gateways),
    egressGateways: nothing(gateways),
    istiodRemote: { enabled: stays(false, onlyOne) },
  },
}
