import koffi from 'koffi'

// libuv is part of the node binary and exports its C interface: any pollable descriptor can be watched on the main loop.
const uv = koffi.load(null)
const UV_POLL = 8
const UV_READABLE = 1
const UV_DISCONNECT = 4

const PollCallback = koffi.proto('void everyhop_poll_cb(void *handle, int status, int events)')
const CloseCallback = koffi.proto('void everyhop_close_cb(void *handle)')
const uvLoop = uv.func('void *uv_default_loop()')
const uvHandleSize = uv.func('size_t uv_handle_size(int type)')
const uvPollInit = uv.func('int uv_poll_init(void *loop, void *handle, int fd)')
const uvPollStart = uv.func('int uv_poll_start(void *handle, int events, everyhop_poll_cb *callback)')
const uvPollStop = uv.func('int uv_poll_stop(void *handle)')
const uvClose = uv.func('void uv_close(void *handle, everyhop_close_cb *callback)')

const alive = new Set<object>()

/**
 * Calls `onReadable` whenever `fd` (a socket that Node has no class for: SEQPACKET, netlink, AF_PACKET) can be read or its peer is gone.
 * Level-triggered: read until EAGAIN. Main thread only. The descriptor stays the caller's to close, after the returned stop function was called.
 * @returns a function that stops watching; safe to call twice
 */
export function watchReadable(fd: number, onReadable: () => void): () => void {
  const handle = Buffer.alloc(Number(uvHandleSize(UV_POLL)))
  let stopped = false
  let queued = false
  // Nothing may throw inside a C callback: the work runs in its own turn.
  const poll = koffi.register(() => {
    if (queued || stopped) return
    queued = true
    setImmediate(() => {
      queued = false
      if (!stopped) onReadable()
    })
  }, koffi.pointer(PollCallback))
  const closed = koffi.register(() => {
    setImmediate(() => {
      koffi.unregister(poll)
      koffi.unregister(closed)
      alive.delete(keep)
    })
  }, koffi.pointer(CloseCallback))
  const keep = { handle, poll, closed }
  const init = uvPollInit(uvLoop(), handle, fd)
  if (init !== 0) throw new Error(`uv_poll_init: ${init} (fd ${fd})`)
  alive.add(keep)
  const start = uvPollStart(handle, UV_READABLE | UV_DISCONNECT, poll)
  if (start !== 0) throw new Error(`uv_poll_start: ${start} (fd ${fd})`)
  return () => {
    if (stopped) return
    stopped = true
    uvPollStop(handle)
    uvClose(handle, closed)
  }
}
