import { writeFileSync } from 'node:fs'
import { PcapngWriter } from '../harness/evidence/pcapng-write.ts'

/**
 * Writes a capture that looks like a run's: TCP connections (IPv4, some IPv6) with handshake, data and close, some UDP, seen at four interfaces.
 * @param packets how many, @param path file to write
 */
export function generatePackets(packets: number, path: string): void {
  const writer = new PcapngWriter()
  const blocks: Buffer[] = [writer.header()]
  const names = ['n1/demo.sleep/eth0', 'n1/node/veth0', 'n2/node/veth0', 'n2/demo.httpbin/eth0']
  const interfaces = names.map((name) => {
    const { id, block } = writer.interface(name)
    blocks.push(block)
    return id
  })
  let tNs = 1_795_000_000_000_000_000n
  for (let i = 0; i < packets; i++) {
    tNs += 1700n
    const connection = (i >> 6) & 0x3ff
    const step = i & 63
    const forward = (i & 1) === 0
    const flags = step === 0 ? 0x02 : step === 1 ? 0x12 : step >= 62 ? 0x11 : step % 3 === 0 ? 0x18 : 0x10
    const length = flags === 0x18 ? 40 + ((i * 7) % 200) : 0
    const data =
      step === 20
        ? udp(connection, 64)
        : connection % 8 === 7
          ? tcp6(connection, forward, flags, i, length)
          : tcp4(connection, forward, flags, i, length)
    blocks.push(
      writer.packet({ interfaceId: interfaces[i & 3]!, tNs, data, originalLength: data.length, direction: forward ? 'out' : 'in' }),
    )
  }
  writeFileSync(path, Buffer.concat(blocks))
}

function ethernet(type: number, length: number): Buffer {
  const frame = Buffer.alloc(14 + length)
  frame.set([2, 0, 10, 244, 0, 5, 2, 0, 10, 244, 0, 6], 0)
  frame.writeUInt16BE(type, 12)
  return frame
}

function tcpHeader(frame: Buffer, at: number, connection: number, forward: boolean, flags: number, seq: number): void {
  frame.writeUInt16BE(forward ? 40000 + connection : 15008, at)
  frame.writeUInt16BE(forward ? 15008 : 40000 + connection, at + 2)
  frame.writeUInt32BE((0xf0000000 + seq * 131) >>> 0, at + 4)
  if (flags & 0x10) frame.writeUInt32BE((0x10000000 + seq * 17) >>> 0, at + 8)
  frame[at + 12] = 0x50
  frame[at + 13] = flags
  frame.writeUInt16BE(512, at + 14)
  frame.fill(0x41, at + 20)
}

function ip4(frame: Buffer, protocol: number, forward: boolean, connection: number): void {
  frame[14] = 0x45
  frame.writeUInt16BE(frame.length - 14, 16)
  frame[22] = 64
  frame[23] = protocol
  const client = [10, 244, 1, connection & 0x3f]
  const server = [10, 244, 2, 9]
  frame.set(forward ? client : server, 26)
  frame.set(forward ? server : client, 30)
}

function tcp4(connection: number, forward: boolean, flags: number, seq: number, length: number): Buffer {
  const frame = ethernet(0x0800, 40 + length)
  ip4(frame, 6, forward, connection)
  tcpHeader(frame, 34, connection, forward, flags, seq)
  return frame
}

function tcp6(connection: number, forward: boolean, flags: number, seq: number, length: number): Buffer {
  const frame = ethernet(0x86dd, 60 + length)
  frame[14] = 0x60
  frame.writeUInt16BE(20 + length, 18)
  frame[20] = 6
  frame[21] = 64
  frame.set([0xfd, 0, 0, 0x10], forward ? 22 : 38)
  frame.set([0xfd, 0, 0, 0x20], forward ? 38 : 22)
  frame[forward ? 37 : 53] = connection & 0x3f
  frame[forward ? 53 : 37] = 9
  tcpHeader(frame, 54, connection, forward, flags, seq)
  return frame
}

function udp(connection: number, length: number): Buffer {
  const frame = ethernet(0x0800, 28 + length)
  ip4(frame, 17, true, connection)
  frame.writeUInt16BE(50000 + connection, 34)
  frame.writeUInt16BE(9001, 36)
  frame.writeUInt16BE(8 + length, 38)
  frame.fill(0x42, 42)
  return frame
}

if (import.meta.main) {
  const [packets, path] = process.argv.slice(2)
  if (!(Number(packets) > 0) || !path) {
    console.error('usage: generate-packets PACKETS FILE.pcapng')
    process.exit(2)
  }
  generatePackets(Number(packets), path)
}
