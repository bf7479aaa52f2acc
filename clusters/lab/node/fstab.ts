/** One mount: as a line of fstab(5), so that one `mount -a` does them all, in order. */
export interface Mount {
  readonly source: string
  readonly target: string
  /** @default `none`, for bind mounts */
  readonly type?: string
  /** Mount options, propagation flags (`rslave`) and `X-mount.mkdir` included. @default `defaults` */
  readonly options?: string
}

/** Text for `mount -a -T`. */
export function fstab(mounts: readonly Mount[]): string {
  return mounts
    .map(({ source, target, type, options }) => `${field(source)} ${field(target)} ${type ?? 'none'} ${field(options ?? 'defaults')} 0 0\n`)
    .join('')
}

/** White space and backslashes as octal numbers (fstab(5)). */
function field(text: string): string {
  return text.replace(/[\s\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
}
