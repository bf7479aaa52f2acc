import { code, defaultFrameSize, defaultWindow, H2Error, maxWindow } from './frame.ts'

/** What one side asks of the other (RFC 9113, section 6.5.2), as far as tunnels need it. */
export interface Settings {
  readonly headerTableSize: number
  readonly maxStreams: number
  readonly windowSize: number
  readonly frameSize: number
}

/** What we allow a peer. Sizes in octets. */
export interface ConnectionOptions {
  readonly windowSize: number
  readonly connectionWindowSize: number
  readonly frameSize: number
  readonly maxHeaderList: number
}

export const initialSettings: Settings = {
  headerTableSize: 4096,
  maxStreams: Number.POSITIVE_INFINITY,
  windowSize: defaultWindow,
  frameSize: defaultFrameSize,
}

export const settingId = { headerTableSize: 1, enablePush: 2, maxStreams: 3, windowSize: 4, frameSize: 5, maxHeaderList: 6 } as const

/** The payload of a SETTINGS frame. */
export function encodeSettings(settings: Iterable<readonly [id: number, value: number]>): Buffer {
  return Buffer.concat(
    Array.from(settings, ([id, value]) => {
      const one = Buffer.alloc(6)
      one.writeUInt16BE(id, 0)
      one.writeUInt32BE(value, 2)
      return one
    }),
  )
}

/** What holds after a SETTINGS frame's payload. @throws H2Error for lengths and values that are not allowed */
export function applySettings(before: Settings, payload: Buffer): Settings {
  if (payload.length % 6 !== 0) throw new H2Error(code.frameSize, `SETTINGS of ${payload.length} octets`)
  let { headerTableSize, maxStreams, windowSize, frameSize } = before
  for (let at = 0; at < payload.length; at += 6) {
    const value = payload.readUInt32BE(at + 2)
    switch (payload.readUInt16BE(at)) {
      case settingId.headerTableSize:
        headerTableSize = value
        break
      case settingId.enablePush:
        if (value > 1) throw new H2Error(code.protocol, `SETTINGS_ENABLE_PUSH is ${value}`)
        break
      case settingId.maxStreams:
        maxStreams = value
        break
      case settingId.windowSize:
        if (value > maxWindow) throw new H2Error(code.flowControl, `SETTINGS_INITIAL_WINDOW_SIZE is ${value}`)
        windowSize = value
        break
      case settingId.frameSize:
        if (value < defaultFrameSize || value > 0xffffff) throw new H2Error(code.protocol, `SETTINGS_MAX_FRAME_SIZE is ${value}`)
        frameSize = value
    }
  }
  return { headerTableSize, maxStreams, windowSize, frameSize }
}
