import { type HboneOptions, hboneDefaults } from '../lib/hbone.ts'
import type { Config } from './config.ts'

export function hboneOptions({ windowSize, connectionWindowSize, frameSize }: Config): HboneOptions {
  return { ...hboneDefaults, windowSize, connectionWindowSize, frameSize }
}
