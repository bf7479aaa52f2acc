import { allResources, apiVersionOf, type Resource } from '../resources.ts'
import { reviews, servedVersions } from './path.ts'

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']

/** What clients decide features by: the Kubernetes release whose API this follows. */
export const version = {
  major: '1',
  minor: '34',
  gitVersion: 'v1.34.4',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'everyhop',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
}

export const coreVersions = { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] }

export const groupList = {
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: servedVersions.filter((apiVersion) => apiVersion !== 'v1').map((apiVersion) => groupOf(apiVersion)),
}

/** @returns undefined for a group that is not served */
export function groupNamed(name: string): object | undefined {
  const found = groupList.groups.find((group) => group.name === name)
  return found && { kind: 'APIGroup', apiVersion: 'v1', ...found }
}

function groupOf(apiVersion: string) {
  const [name, version] = apiVersion.split('/') as [string, string]
  const entry = { groupVersion: apiVersion, version }
  return { name, versions: [entry], preferredVersion: entry }
}

/** APIResourceList of one group version. */
export function resourceList(apiVersion: string): object {
  const stored = allResources.filter((resource) => apiVersionOf(resource) === apiVersion).flatMap(entries)
  const answered = reviews
    .filter(({ group }) => `${group}/v1` === apiVersion)
    .map(({ plural, kind }) => ({ name: plural, singularName: kind.toLowerCase(), namespaced: false, kind, verbs: ['create'] }))
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersion, resources: [...stored, ...answered] }
}

function entries(resource: Resource): object[] {
  const { resource: name, singular: singularName, namespaced, kind, shortNames, categories } = resource
  const own = {
    name,
    singularName,
    namespaced,
    kind,
    verbs,
    ...(shortNames.length > 0 && { shortNames }),
    ...(categories.length > 0 && { categories }),
  }
  const subresources = resource.subresources.map(({ name: sub, ...rest }) => ({
    name: `${name}/${sub}`,
    singularName: '',
    namespaced,
    ...rest,
  }))
  const status = { name: `${name}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] }
  return [own, ...subresources, ...(resource.status ? [status] : [])]
}
