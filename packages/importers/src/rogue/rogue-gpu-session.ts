import type { FenceDriver, Importer } from '@dmabuf-emu/core';
import { GpuBo } from '../gpu/gpu-bo.ts';
import { ringsOf } from '../gpu/gpu-ring.ts';
import { GpuSession } from '../gpu/gpu-session.ts';
import type { RogueParts } from './rogue-odp-session.ts';

/** A GPU that breaks a rule of fences. */
export abstract class RogueGpuSession extends GpuSession {
  constructor({ dmabuf, device, tools, slice }: RogueParts, importer: Importer, fences: FenceDriver) {
    super(GpuBo.import(dmabuf, device, tools.name, importer), ringsOf(tools.machine, fences), tools, slice);
  }
}
