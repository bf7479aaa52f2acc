/** Where the kernel is to map it: the usual place of a program that is not relocated. */
const base = 0x400000n
const headers = 64 + 56

/** `exit(0)` (x86-64): mov eax, 60 (SYS_exit); xor edi, edi; syscall. */
const code = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]

/** The smallest program: an ELF file (elf(5)) of one segment that ends with 0. It needs no library, so it runs in an empty image. */
export function exitProgram(): Buffer {
  const file = Buffer.alloc(headers + code.length)
  // e_ident: magic, 64 bits, little-endian, version 1.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  file.writeUInt16LE(2, 16) // ET_EXEC
  file.writeUInt16LE(62, 18) // EM_X86_64
  file.writeUInt32LE(1, 20)
  file.writeBigUInt64LE(base + BigInt(headers), 24) // entry point
  file.writeBigUInt64LE(64n, 32) // program headers
  file.writeUInt16LE(64, 52) // size of this header
  file.writeUInt16LE(56, 54) // size of a program header
  file.writeUInt16LE(1, 56) // how many
  file.writeUInt32LE(1, 64) // PT_LOAD
  file.writeUInt32LE(5, 68) // readable, executable
  file.writeBigUInt64LE(base, 80)
  file.writeBigUInt64LE(base, 88)
  file.writeBigUInt64LE(BigInt(file.length), 96)
  file.writeBigUInt64LE(BigInt(file.length), 104)
  file.writeBigUInt64LE(0x1000n, 112)
  file.set(code, headers)
  return file
}
