import { expect, test } from 'vitest'
import { releaseNamed } from './release.ts'

test('a release that is not known is said with those that are', () => {
  expect(() => releaseNamed('1.17')).toThrow('MESH_RELEASE="1.17": known are today, 1.20, 1.21')
})
