import { addressOf, c, check, int32, SOL_SOCKET } from '../../../images/lib/libc.ts'
import { fillerType } from './block-filler.ts'

// Classic BPF (include/uapi/linux/filter.h, Documentation/networking/filter.rst): what a socket is not to be woken for is left out in the kernel.
const SO_ATTACH_FILTER = 26
const SO_DETACH_FILTER = 27
const LD_WORD = 0x20
const LD_HALF = 0x28
const JUMP_IF_EQUAL = 0x15
const RETURN = 0x06
const LD_LENGTH = 0x80
const JUMP_IF_GREATER = 0x25

type Target = 'take' | 'drop' | 'cut' | 'whole'
type Instruction = readonly [code: number, k: number, ifEqual?: Target | undefined, otherwise?: Target]

/** A program as the kernel takes it: eight bytes an instruction. */
export type Program = Buffer

const ETHERTYPE_IPV4 = 0x0800
/** Where an Ethernet frame tells its type. */
const etherType = 12
/** Bytes before the addresses of an Ethernet frame's IPv4 header. */
const packetSource = 26
const packetDestination = 30
/** Leaves out frames from and to these IPv4 addresses. @param clients as in 10.0.0.1 → 0x0a000001 */
export function withoutPackets(clients: readonly number[]): Program {
  return packetProgram([
    [LD_HALF, etherType],
    [JUMP_IF_EQUAL, ETHERTYPE_IPV4, undefined, 'take'],
    [LD_WORD, packetSource],
    ...dropIfOne(clients),
    [LD_WORD, packetDestination],
    ...dropIfOne(clients),
  ])
}

/** A packet with more bytes is not kept whole: that large are only those in the middle of a stream of many bytes, and a ring cannot hold them as fast as they come. */
export const largestWhole = 16 << 10
/** What is kept of one that is larger: all headers, up to IPv6 and TCP with all their options. */
export const largeKept = 114

/** Takes all packets. */
export const allPackets = (): Program => packetProgram([])

const dropIfOne = (clients: readonly number[]) => clients.map((address): Instruction => [JUMP_IF_EQUAL, address, 'drop'])

const whole: Instruction = [RETURN, 0x40000]
const nothing: Instruction = [RETURN, 0]

/** What is taken of a large packet is its beginning; of those that are there to fill a block, all. */
function packetProgram(instructions: readonly Instruction[]): Program {
  const all: readonly Instruction[] = [
    [LD_HALF, etherType],
    [JUMP_IF_EQUAL, fillerType, 'whole'],
    ...instructions,
    [LD_LENGTH, 0],
    [JUMP_IF_GREATER, largestWhole, 'cut'],
    whole,
    [RETURN, largeKept],
    nothing,
  ]
  return assembled(all, { take: instructions.length + 2, whole: all.length - 3, cut: all.length - 2, drop: all.length - 1 })
}

function assembled(all: readonly Instruction[], place: Readonly<Record<Target, number>>): Program {
  const bytes = Buffer.alloc(all.length * 8)
  for (const [i, [code, k, ifEqual, otherwise]] of all.entries()) {
    const distance = (target: Target | undefined) => (target === undefined ? 0 : place[target] - i - 1)
    bytes.writeUInt16LE(code, i * 8)
    bytes.writeUInt8(distance(ifEqual), i * 8 + 2)
    bytes.writeUInt8(distance(otherwise), i * 8 + 3)
    bytes.writeUInt32LE(k, i * 8 + 4)
  }
  return bytes
}

/** Puts a program before a socket, in the place of any other; undefined: everything comes through again. */
export function setFilter(fd: number, filter: Program | undefined): void {
  if (!filter) {
    // Fails when there is none, which is what is asked for.
    c.setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, int32(0), 4)
    return
  }
  const reference = Buffer.alloc(16)
  reference.writeUInt16LE(filter.length / 8, 0)
  reference.writeBigUInt64LE(addressOf(filter), 8)
  check('setsockopt', c.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, reference, reference.length), 'SO_ATTACH_FILTER')
}

/** An IPv4 address as the filters compare it. @throws TypeError for anything else */
export function addressNumber(address: string): number {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address)?.slice(1).map(Number)
  if (!parts || parts.some((n) => n > 255)) throw new TypeError(`not an IPv4 address: ${JSON.stringify(address)}`)
  return Buffer.from(parts).readUInt32BE(0)
}
