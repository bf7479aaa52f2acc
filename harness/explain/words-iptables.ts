/** What means something else in mode `iptables` than where ztunnel listens in the pods, or is only there: by the ids and titles of its path tables. */
export const iptablesLegs: Readonly<Record<string, string>> = {
  'app-ztunnel':
    "The app believes that it talks to its destination. In truth its node leads the connection to ztunnel, the mesh's proxy, which has a namespace of its own: the first packet through a tunnel, all others beside it. Nothing is changed in the app's pod. Up to there the request is readable.",
  'ztunnel-ztunnel':
    "The client's ztunnel carries the request to the server's ztunnel encrypted (HBONE: HTTP/2 over TLS, port 15008), between the addresses of the two pods: the server's node leads it to its ztunnel. Both ends show certificates, so each knows which workload the other speaks for. Whoever captures packets here must not be able to read the request.",
  'ztunnel-app':
    "ztunnel opens a connection to the app with the client's own address as the source: the app sees who asked, not the mesh. Where client and server are on one node one ztunnel serves both, and nothing is encrypted between.",
  'client-ztunnel':
    "The client does not belong to the mesh and sends plain TCP. The server's node leads it to ztunnel, so that policies hold for it too.",
  'node-app':
    'The node itself asks, as the kubelet does when it probes whether an app is healthy. That must pass the mesh by: what comes from a program on the node, with the address that the node has towards its pods, is led nowhere.',
  'app-dns':
    "The app asks for the address that belongs to a name. Its node sends such questions of pods of the mesh on to ztunnel's address; ztunnel knows the names of the mesh.",
  'ztunnel-dns': "ztunnel does not know this name, so it asks the cluster's name server itself, with its own address.",
}

export const iptablesHops: Readonly<Record<string, string>> = {
  'has nothing of the mesh in its pod':
    "In this mode no pod is changed: its rules, routes, devices and settings are what any pod's are, before the run and after it.",
  'is led into the tunnel':
    'Rules of the node mark the first packet of a connection that ztunnel shall have, keep others from translating it, and a table of routes sends it into the tunnel to ztunnel.',
  'is wrapped for ztunnel':
    "The tunnel's device puts the packet, with the addresses that it has, into a datagram (GENEVE) to ztunnel's address.",
  "comes wrapped to ztunnel's namespace": "In at the only cable of ztunnel's namespace.",
  'is handed to its listener':
    "Unwrapped, it still has the client's and the server's addresses. A rule gives it to one of ztunnel's listeners by where it came out and for which port.",
  'is answered beside the tunnel':
    "ztunnel answers in the server's name. The node sees that it comes from ztunnel with an address that is not ztunnel's, and notes on the connection that ztunnel is at one end of it.",
  'goes on beside the tunnel': "By that note all that follows is sent to ztunnel's namespace as it is, without the tunnel.",
  'comes to ztunnel as it is': "The packet's destination is no address of ztunnel's; a rule marks it so that it is delivered all the same.",
  "is ztunnel's": "A socket in ztunnel's namespace had both ends of this connection.",
  "leaves ztunnel with its client's address": "ztunnel takes the client's address as its own for this connection.",
  'leaves ztunnel with its own address':
    "The app is its own client: with that pod's address as the source no answer would ever leave the pod.",
  'comes to the node without a tunnel':
    'What ztunnel opens itself goes through no tunnel: its own first packet is noted on the connection, and it goes on as the main table of routes says.',
  'is answered to ztunnel': 'The answer is addressed to the client; by the note on the connection it goes to ztunnel.',
  'is answered by the main table': 'The answer is addressed to ztunnel itself: nothing needs to lead it there.',
  "is nothing to its node's rules": "The client's node knows nothing of it: no rule marks it.",
  "is nothing to the server's node": 'The server does not belong to the mesh, so no rule of its node marks what comes for it.',
  'is told of by ztunnel': 'ztunnel has the connection and tells of it.',
  'is told with both identities': 'ztunnel says who asked whom; it speaks for both, since both are on its node.',
  'is ended by policy': 'ztunnel says that a policy forbids the connection.',
  'is let past by its source':
    "A route gives the node's own connections to pods of the mesh the address that the node has towards its pods; by that, and because a program of the node sends it, a rule lets it go straight to the pod.",
  'comes home': 'The answer is back on the node, whose own addresses come before all other tables of routes.',
  'is let by': 'UDP is marked to be left alone, and that is noted on its flow.',
  "is let by on the server's node": 'There too.',
  'leaves the app over lo': 'A pod reaches its own address over its loopback device: no node is asked.',
  'is turned to ztunnel': "A rule of the node gives the question ztunnel's address as its destination.",
  'goes to ztunnel': "Over the cable to ztunnel's namespace, and the answer back.",
  'is answered by ztunnel': "ztunnel's listener for questions answers; the node puts the name server's address back.",
  "leaves ztunnel's namespace": 'A question of its own.',
}
