/** The file by which the agent tells its plugin how the node stands (upstream's, up to 1.20). */
export const nodeFileName = 'config.json'

/** Its content, one line of JSON. */
export interface NodeFile {
  /** The node has a proxy that is ready, and is joined to it. */
  readonly ztunnelReady: boolean
  readonly redirectMode: string
}
