import { createServer } from 'node:http'

// An image for tests: says who it is, or gives what it finds at another URL (`/fetch?url=…`).
const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://here').searchParams.get('url')
  try {
    response.end(
      url
        ? await (await fetch(url, { signal: AbortSignal.timeout(5000) })).text()
        : `${process.env.WHO} to ${request.socket.remoteAddress}`,
    )
  } catch (error) {
    response.writeHead(502).end(String((error as Error).cause ?? error))
  }
})
server.listen(8080, '0.0.0.0')
