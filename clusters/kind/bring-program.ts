import { Docker } from './docker/docker.ts'
import { bringProgram } from './programs.ts'

// Puts a program on a node of a kind cluster: node bring-program.ts CONTAINER PROGRAM PATH; which Docker, $DOCKER_HOST says.
const [container = '', program = '', path = ''] = process.argv.slice(2)
const host = process.env.DOCKER_HOST
await bringProgram(new Docker(host ? { host } : {}), container, program, path)
