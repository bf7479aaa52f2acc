import { expect, test } from 'vitest'
import { releaseNamed } from './release.ts'

test('a release that is not known is said with those that are', () => {
  expect(() => releaseNamed('1.20')).toThrow('MESH_RELEASE="1.20": mode inpod has today, 1.21')
})
