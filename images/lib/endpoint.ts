/** One end of a connection as it is written everywhere: `10.244.0.5:8080`, `[fd00::5]:8080`; IPv4-mapped addresses of dual-stack sockets as IPv4. */
export function endpoint(address: string | undefined, port: number | undefined): string {
  const plain = unmapped(address ?? '')
  return `${plain.includes(':') ? `[${plain}]` : plain}:${port ?? ''}`
}

/** `::ffff:10.0.0.1` → `10.0.0.1`; other addresses as they are. */
export function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '')
}
