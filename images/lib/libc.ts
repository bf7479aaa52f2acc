import koffi from 'koffi'

const libc = koffi.load('libc.so.6')

/** The few system calls that Node has no API for. All are synchronous; numbers are those of Linux on x86-64. */
export const c = {
  setns: libc.func('int setns(int fd, int nstype)'),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)'),
  bind: libc.func('int bind(int fd, const void *address, uint32_t length)'),
  connect: libc.func('int connect(int fd, const void *address, uint32_t length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  accept4: libc.func('int accept4(int fd, void *address, void *length, int flags)'),
  shutdown: libc.func('int shutdown(int fd, int how)'),
  close: libc.func('int close(int fd)'),
  recv: libc.func('int64_t recv(int fd, void *buffer, size_t length, int flags)'),
  send: libc.func('int64_t send(int fd, const void *buffer, size_t length, int flags)'),
  recvmsg: libc.func('int64_t recvmsg(int fd, void *header, int flags)'),
  sendmsg: libc.func('int64_t sendmsg(int fd, const void *header, int flags)'),
  mmap: libc.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)'),
  munmap: libc.func('int munmap(void *address, size_t length)'),
  /** For the calling thread when `pid` is 0. */
  sched_getaffinity: libc.func('int sched_getaffinity(int pid, size_t length, _Out_ void *mask)'),
  sched_setaffinity: libc.func('int sched_setaffinity(int pid, size_t length, const void *mask)'),
  clock_gettime: libc.func('int clock_gettime(int clock, _Out_ void *time)'),
  umount2: libc.func('int umount2(const char *target, int flags)'),
}

/** Linux constants (include/uapi/linux, x86-64). */
export const CLONE_NEWNET = 0x40000000
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const AF_PACKET = 17
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3
export const SOCK_SEQPACKET = 5
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const SOL_SOCKET = 1
export const SOL_IP = 0
export const SOL_IPV6 = 41
export const SO_REUSEADDR = 2
export const SO_ERROR = 4
export const SO_REUSEPORT = 15
export const SO_MARK = 36
export const IP_TRANSPARENT = 19
export const IPV6_V6ONLY = 26
export const IPV6_TRANSPARENT = 75
/** netfilter: the destination before REDIRECT or DNAT; the same number at both levels. */
export const SO_ORIGINAL_DST = 80
export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000
export const MSG_CMSG_CLOEXEC = 0x40000000
export const MNT_DETACH = 2
export const UMOUNT_NOFOLLOW = 8
export const ENOENT = 2
export const EINTR = 4
export const EAGAIN = 11
export const EINVAL = 22
export const ENOBUFS = 105

/** A failed system call: `errno` is Linux's number, the message names the call and what it was about. */
export class SystemError extends Error {
  readonly call: string
  readonly errno: number
  constructor(call: string, errno: number, subject?: string) {
    super(`${call}: errno ${errno}${subject ? ` (${subject})` : ''}`)
    this.name = 'SystemError'
    this.call = call
    this.errno = errno
  }
}

/** Passes a non-negative result on; throws SystemError with the thread's errno otherwise. */
export function check(call: string, result: number | bigint, subject?: string): number {
  if (result < 0) throw new SystemError(call, koffi.errno(), subject)
  return Number(result)
}

/** The errno that the last call through `c` left on this thread. */
export function errno(): number {
  return koffi.errno()
}

/** The machine address of a Buffer's first byte, for structures that point at other memory (msghdr, sock_fprog). The Buffer must stay referenced. */
export function addressOf(buffer: Buffer): bigint {
  return BigInt(koffi.address(buffer))
}

/** A C int as the kernel reads it. */
export function int32(value: number): Buffer {
  const b = Buffer.alloc(4)
  b.writeInt32LE(value)
  return b
}
