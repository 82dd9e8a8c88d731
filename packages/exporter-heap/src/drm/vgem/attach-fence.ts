import { type Fence, ResvUsage, resvUsageRw } from '@dmabuf-emu/core';
import { KernelError, TaskKilled } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import type { GemObject } from '../gem/gem-object.ts';
import { withObject } from '../gem/lookup.ts';
import { createVgemFence, endVgemFence } from './vgem-fence.ts';

/** @kernel VGEM_FENCE_WRITE */
export const VGEM_FENCE_WRITE = 1;

/** @kernel drm_vgem_fence_attach */
export interface VgemFenceAttach {
  readonly handle: number;
  readonly flags?: number;
  readonly pad?: number;
}

/** @kernel drm_vgem_fence_signal */
export interface VgemFenceSignal {
  readonly fence: number;
  readonly flags?: number;
}

/**
 * VGEM_FENCE_ATTACH: a new fence that stands for a use of the object, until {@link signalFence} or ten seconds have passed.
 * @returns its id in this file, from 1; none is used twice.
 * @kernel vgem_fence_attach_ioctl
 * @locks takes resv
 * @throws KernelError EINVAL (flags, pad; not vgem), ENOENT, EBUSY when a pending use of the object conflicts, ENOMEM
 */
export function attachFence(file: OpenFile, { handle, flags = 0, pad = 0 }: VgemFenceAttach): number {
  const call = 'vgem_fence_attach_ioctl';
  requireVgem(file, call);
  if ((flags & ~VGEM_FENCE_WRITE) !== 0) throw new KernelError('EINVAL', call, `flags 0x${(flags >>> 0).toString(16)}`);
  if (pad !== 0) throw new KernelError('EINVAL', call, `pad must be 0, got ${pad}`);
  return withObject(file, handle, call, (gem) => {
    const fence = createVgemFence(file.machine);
    try {
      addFence(gem, fence, flags === VGEM_FENCE_WRITE, call);
      return file.fences.alloc(fence.ref, call);
    } catch (error) {
      if (!(error instanceof TaskKilled)) endVgemFence(file.machine, fence.ref);
      throw error;
    }
  });
}

function addFence(gem: GemObject, fence: Fence, write: boolean, call: string): void {
  const { resv } = gem;
  if (!resv.testSignaled(resvUsageRw(write))) {
    throw new KernelError('EBUSY', call, `the object is in use by ${write ? 'readers or ' : ''}writers`);
  }
  resv.with(() => {
    resv.reserveFences(1);
    resv.addFence(fence, write ? ResvUsage.WRITE : ResvUsage.READ);
  });
}

/**
 * VGEM_FENCE_SIGNAL: ends a fence of this file and uses its id up. @kernel vgem_fence_signal_ioctl
 * @throws KernelError EINVAL (flags; not vgem), ENOENT, ETIMEDOUT when it had ended before
 */
export function signalFence(file: OpenFile, { fence, flags = 0 }: VgemFenceSignal): void {
  const call = 'vgem_fence_signal_ioctl';
  requireVgem(file, call);
  if (flags !== 0) throw new KernelError('EINVAL', call, `flags must be 0, got ${flags}`);
  const ref = file.fences.clear(fence);
  if (ref === 0) throw new KernelError('ENOENT', call, `there is no fence ${fence}`);
  const inTime = endVgemFence(file.machine, ref);
  if (!inTime) throw new KernelError('ETIMEDOUT', call, `fence ${fence} ended before`);
}

/** The file is closed: all its fences end. @kernel vgem_fence_close */
export function endFences({ machine, fences }: OpenFile): void {
  for (const [id] of fences.entries()) endVgemFence(machine, fences.remove(id));
}

/** Other drivers have no such calls. */
function requireVgem({ device }: OpenFile, call: string): void {
  const { name } = device.driver;
  if (name !== 'vgem') throw new KernelError('EINVAL', call, `${name} has no such call`);
}
