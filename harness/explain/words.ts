import { iptablesHops, iptablesLegs } from './words-iptables.ts'

/** What the steps of a path mean, for somebody who never saw an ambient mesh. By the titles that path tables use; one without words here stands alone. */
const legs: Readonly<Record<string, string>> = {
  'app-ztunnel':
    "The app believes that it talks to its destination. In truth the kernel turns its connection, inside the app's own pod, to ztunnel: the mesh's proxy, which runs once on each node but listens inside every pod of the mesh. Up to there the request is readable.",
  'ztunnel-ztunnel':
    "The client's ztunnel carries the request to the server's ztunnel in an encrypted tunnel (HBONE: HTTP/2 over TLS, port 15008). Both ends show certificates, so each knows which workload the other speaks for. Whoever captures packets here must not be able to read the request.",
  'ztunnel-app':
    "The server's ztunnel hands the request to the app in the same pod, over the loopback device, with the client's own address as the source: the app sees who asked, not the mesh.",
  'ztunnel-server':
    'The server does not belong to the mesh, so ztunnel passes the connection on as it is, readable, from the address of the client.',
  'client-ztunnel':
    "The client does not belong to the mesh and sends plain TCP. As it enters the server's pod the kernel turns it to ztunnel, so that policies hold for it too.",
  'forged-ztunnel':
    "The client brings a tunnel of its own making to the server's ztunnel, with a certificate that it should not be believed, or an identity that may not come in. Nothing of the request may reach the app.",
  'ztunnel-impostor':
    "Where the client's ztunnel expects the server's, somebody listens who shows another identity. ztunnel must see that in the handshake and send nothing of the request.",
  'node-app':
    'The node itself asks, as the kubelet does when it probes whether an app is healthy. That must pass the mesh by: the node gives its probes an address of their own, and the pod lets that address through to the app.',
  'app-dns':
    'The app asks for the address that belongs to a name. A pod of the mesh has such questions turned to ztunnel, which knows the names of the mesh; a pod that opted out asks the name server of the cluster by itself.',
  'ztunnel-dns':
    "ztunnel does not know this name, so it asks the cluster's name server, from inside the app's pod and with the pod's address, as the app would have done.",
  'app-app':
    "The pod calls its own address. That is nobody else's business: the connection stays in the pod, and ztunnel has no part in it.",
  'app-own-port':
    'The pod calls, by its own address, a port at which ztunnel listens inside it. No rule takes a connection from a pod to itself, so it comes to ztunnel as it is, and ztunnel must turn it away: what it would call for the app is itself.',
  'client-server': 'UDP is not carried by the mesh: datagrams go from pod to pod as if there were none.',
}

const hops: Readonly<Record<string, string>> = {
  'is turned around':
    "A firewall rule in the pod sends what is not ztunnel's own to a port of the same pod where ztunnel listens: new connections to 15001, questions for names to 15053.",
  'runs over lo': 'Turned around, the packet never leaves the pod: it goes over the loopback device.',
  'is answered by ztunnel':
    "ztunnel's answer carries its mark; a rule copies that into the connection, so that all that follows is known as the mesh's.",
  'carries the request': 'The first packet with data, and the first one back.',
  'leaves ztunnel uncaptured': "ztunnel's own packets carry its mark. No rule may catch them, or they would run in a circle.",
  'leaves the pod': "Out through the pod's cable to its node.",
  'enters the node': "The other end of the cable, in the node's own network.",
  'leaves the node': 'Onto the network between the nodes.',
  "enters the server's node": 'In from the network between the nodes.',
  "leaves for the server's pod": "Into the node's end of the server pod's cable.",
  "enters the server's pod": "Out of the cable, into the server's pod.",
  'is left to the HBONE listener': 'Tunnels come to port 15008, where ztunnel listens: no rule may turn them elsewhere.',
  'is given to the HBONE listener':
    'A firewall rule hands each packet of the tunnel to ztunnel, which listens on port 15008; its addresses stay as they are.',
  'is answered past the rules':
    "What comes back to ztunnel's own connection belongs to one that is known already: a rule lets it in before any other could turn it.",
  'is terminated with both identities': "The server's ztunnel says who asked whom, as their certificates proved it.",
  'is refused by policy': "The server's ztunnel says that its policy refuses this client.",
  'is told by the client side': "The client's ztunnel tells the same from its side.",
  "leaves with the client's address":
    "ztunnel opens the connection to the app with the client's address as its source; a rule lets it go, since it runs over loopback.",
  'marks its connection': 'A rule copies the mark of the packet into the connection, so that its answers can be known.',
  'is answered by way of lo':
    "The app answers to the client's address, which is far away. The mark and a route of its own bring the answer back over loopback, to ztunnel.",
  'is served': "What the server's own socket saw: the request, and from whom.",
  'is turned to ztunnel': "A firewall rule sends what comes into the pod, and is no tunnel, to ztunnel's port 15006.",
  'reaches ztunnel': 'ztunnel has the connection and tells of it.',
  'keeps the order of the exchange': 'Who speaks first, and who ends first, is the same on both sides of the mesh.',
  'carries every byte': 'All bytes are counted, each way, from the first to the end, by the numbers that TCP gives them.',
  'is refused in the handshake': 'The certificate is not believed, so the TLS handshake ends before a request can be asked.',
  'is given up by the client side': "The client's ztunnel says that it gives the connection up, and why.",
  'is refused as a call to itself': 'ztunnel refuses a connection that is addressed to its own port: it would call itself for ever.',
  "is refused as another pod's":
    "The client asks, in its tunnel, for an address that is not this pod's: ztunnel is no way round to others.",
  'is cut off by policy': 'A policy came that forbids the connection. It stood already, and is closed at once.',
  'is given the probe address': "A rule on the node gives the node's own connections to pods of the mesh the source address 169.254.7.127.",
  'enters the pod': 'Out of the cable, into the pod.',
  'passes by ztunnel': 'A rule lets the probe address through before any other could turn it.',
  'is answered directly': 'The answer leaves the pod as it came, without ztunnel.',
  'comes home': 'The answer is back on the node.',
  'comes to ztunnel': "ztunnel's listener for questions has the connection.",
  'leaves in a zone of its own':
    "ztunnel's question is tracked apart from the app's: both may come from the same port, and the answers must not be mixed up.",
  'is found again in its zone': 'The answer is looked up where the question was noted.',
  'leaves for the name server': 'The node leads the question to wherever the name server runs.',
  'leaves the app uncaptured': 'No rule takes what the app sends.',
  'comes to the app uncaptured': "No rule of the server's pod takes it either.",
  'does without ztunnel': 'Neither ztunnel tells of anything from this client.',
  'leaves ztunnel over lo': 'The tunnel leads into the same pod, so it goes over the loopback device.',
  'comes to the HBONE listener': 'The same ztunnel, as the server of the same pod, takes it.',
  'is left alone': 'A rule lets what runs over loopback go.',
  'comes back over lo': 'It comes in as it went out.',
}

const checks: Readonly<Record<string, string>> = {
  'case/outcome': 'How the request ended',
  'case/sentinel': 'Nobody else could read it: the token of the request was searched for in every packet at every other place',
  'case/closed-world': 'It took no other way: its packets were looked for at every other place',
  'case/bytes': 'What was sent is what arrived, by digest',
  'case/reused': 'It used the tunnel that was there, and opened no second one',
  'load/accounted': 'Every number that the client gave out has one fate, told from both ends',
  'load/lost': 'How many requests got no answer',
  'load/duplicated': 'A request that is sent again by somebody else than its client would come twice',
  'load/readable': 'The tokens were searched for in the packets between the pods',
  'load/established': 'What becomes of connections that stood before, as the table of facts has it',
  'load/disturbed': 'What was done to the mesh was done while requests were under way',
  'load/streams': 'The observers were awake: a marker before and after the load came through every capture, and nothing was lost',
  'load/positive': 'Controls: the same load while nothing is done, and one outside the mesh, which must be readable',
  'load/negative': 'Control: the same load while its server is closed for a moment, which must cost requests',
  'case/streams':
    'The observers were awake: a marker before and after the request came through every capture and trace, and nothing was lost',
  'case/positive': 'Control: a request outside the mesh, on the same nodes at the same time',
  'case/negative': 'Control: the same request without the one condition that decides it must end the other way',
}

/** Modes in which a step means something else. */
const ofMode: Readonly<
  Record<string, { readonly legs: Readonly<Record<string, string>>; readonly hops: Readonly<Record<string, string>> }>
> = {
  iptables: { legs: iptablesLegs, hops: iptablesHops },
}

export const legWords = (id: string, mode: string): string | undefined => ofMode[mode]?.legs[id] ?? legs[id]
export const hopWords = (title: string, mode: string): string | undefined => ofMode[mode]?.hops[title] ?? hops[title]
export const checkWords = (id: string): string | undefined => checks[id]
