import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { type StartedTestContainer, Wait } from 'testcontainers'
import { askOverSocket, type DockerImages } from './docker-images.ts'

/** A container of an app on Docker's own bridge. */
export interface App {
  readonly container: StartedTestContainer
  readonly address: string
  /** Has the client do a request. */
  ask(request: object): Promise<Record<string, unknown>>
}

export async function startApp(images: DockerImages, name: 'sleep' | 'httpbin'): Promise<App> {
  const control = images.folder(name)
  // As an emptyDir: the app is nobody in particular.
  chmodSync(control, 0o777)
  const container = await images
    .container(name)
    .withBindMounts([{ source: control, target: '/var/run/everyhop' }])
    .withWaitStrategy(Wait.forLogMessage(/"event":"listening"/))
    .start()
  return {
    container,
    address: container.getIpAddress('bridge'),
    ask: (request) => askOverSocket(join(control, 'sleep.sock'), { id: '1', body: '', timeoutMs: 10_000, ...request }),
  }
}
