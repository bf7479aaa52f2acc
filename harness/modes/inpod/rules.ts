/** Marks, addresses and rule texts of in-pod redirection that all releases share: facts inpod-mode 1.0, texts as in 1.1 and 1.2. */
export const PROXY_MARK = 0x539
export const REPLY_MARK = 0x111
export const PROBE_SNAT = '169.254.7.127'

export const redirectOut = { rule: '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001' }
export const acceptProbe = { rule: `-A ISTIO_PRERT -s ${PROBE_SNAT}/32 -p tcp -m tcp -j ACCEPT` }
export const acceptLoopback = { rule: '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT' }
export const markConnection = { rule: '-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff' }
export const restoreMark = {
  rule: '-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
}
/** Only where DNS capture is on. */
export const redirectQuestionTcp = {
  rule: '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m tcp --dport 53 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15053',
}
export const zoneOut = { rule: '-A ISTIO_OUTPUT -p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 1' }
export const zoneIn = { rule: '-A ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1' }

export const untouched = { policy: 'accept' } as const
