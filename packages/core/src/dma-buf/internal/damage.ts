import { Completion, syncPoint } from '@dmabuf-emu/shm';
import type { DmaBufState } from './state.ts';
import { DmaBufStruct as B } from './structs.ts';

/** Name under which a revoker waits for the last unmap. */
export const DRAIN_LABEL = 'dma_buf.drained';

/**
 * Declares a buffer beyond use because of what task `dead` left behind: mappings of it that nobody can undo any more.
 * A revoker that waits for them is let go, and told by the mark.
 */
export function damageBuffer(state: DmaBufState, buffer: number, dead: number): void {
  const { mem, buffers, machine } = state;
  const p = buffers.at(buffer);
  syncPoint('dma_buf.damage');
  if (B.damagedBy.cas(mem, p, 0, dead) !== 0) return;
  const drainAt = B.drainAt.load(mem, p);
  if (drainAt !== 0) new Completion(machine, drainAt, DRAIN_LABEL).completeAll();
}
